/** The trimmed text; null for a blank or missing one, which OpenClaw takes as not set. */
export function filled(text: string | null | undefined): string | null {
  const trimmed = text?.trim();
  return trimmed === undefined || trimmed === '' ? null : trimmed;
}

/** A leading `~` replaced by the home folder; `~name` is left as it is. */
export function expandHome(path: string, home: string): string {
  return path.replace(/^~(?=$|[\\/])/, () => home);
}
