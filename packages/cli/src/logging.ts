import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

/** Logs on stderr: for people on a terminal, one JSON object per line otherwise. */
export function makeLog(name: string, level: string): Logger {
  const stderr = process.stderr;
  if (!stderr.isTTY) return pino({ name, level }, pino.destination({ dest: 2, sync: true }));
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
