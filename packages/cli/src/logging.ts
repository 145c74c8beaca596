import { type Logger, pino } from 'pino';

/** Logs on stderr: for people on a terminal, one JSON object per line otherwise. */
export async function makeLog(name: string, level: string): Promise<Logger> {
  const stderr = process.stderr;
  if (!stderr.isTTY) return pino({ name, level }, pino.destination({ dest: 2, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  const colorize = !process.env.NO_COLOR;
  const stream = pretty({
    colorize,
    destination: 2,
    sync: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return pino({ name, level }, stream);
}
