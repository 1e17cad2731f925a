/** Options of every command that looks at an OpenClaw state. */
export interface HostOptions {
  readonly stateDir?: string;
  /** OpenClaw's own `--profile` name. */
  readonly profile?: string;
  readonly slot?: string;
  /** Who writes the host's stores. */
  readonly via?: 'direct' | 'sdk';
}

/** Options of every command that may have to create the vault. */
export interface KeyOptions {
  readonly key?: string;
  readonly keyFile?: string;
}
