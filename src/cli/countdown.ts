import type { Cli } from './cli.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * Says how long a code is still good for until it is stopped: on a terminal in one line that is rewritten each second and then taken away,
 * elsewhere in a line each minute.
 * @param end ms epoch
 */
export function countdown(cli: Cli, end: number): () => void {
  const { terminal, interruption, now } = cli;
  const isDrawn = terminal.screen !== null && !cli.json;
  const left = () => Math.max(0, end - now());
  const draw = () => terminal.rewrite(`waiting for your approval, ${clock(left())} left; Ctrl-C stops`);
  const tell = () => cli.say(`waiting for approval, ${minutes(left())} left`);
  const stop = () => {
    clearInterval(timer);
    interruption.signal.removeEventListener('abort', stop);
    if (isDrawn) terminal.rewrite('');
  };
  const timer = setInterval(isDrawn ? draw : tell, isDrawn ? SECOND : MINUTE);
  // The last word of an interrupted command gets a line of its own.
  interruption.signal.addEventListener('abort', stop);
  if (isDrawn) draw();
  else tell();
  return stop;
}

/** `14:09` */
function clock(ms: number): string {
  const seconds = Math.ceil(ms / SECOND);
  return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`;
}

function minutes(ms: number): string {
  const whole = Math.max(1, Math.round(ms / MINUTE));
  return whole === 1 ? '1 minute' : `${whole} minutes`;
}
