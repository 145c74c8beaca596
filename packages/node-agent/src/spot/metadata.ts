import { setTimeout as sleep } from 'node:timers/promises';
import type { SpotNotice, WatchOptions } from './source.js';

/** How long a metadata service has for an answer, ms. It is next door. */
const ANSWER_MS = 5_000;
/** After something went wrong, ms; doubled up to the greatest. */
const FIRST_WAIT = 1_000;
const MAX_WAIT = 30_000;

export interface Answer {
  status: number;
  body: string;
  headers: Headers;
}

export type Ask = (
  path: string,
  init?: { method?: string; headers?: Record<string, string>; waitMs?: number },
) => Promise<Answer>;

/**
 * Asks a metadata service again and again until there is a notice. A service that is not there is complained about once, and
 * tried further: it may be late.
 * @param once one look: a notice, or after how many ms to look again
 */
export function watchService(
  name: string,
  endpoint: string,
  { onNotice, log }: Pick<WatchOptions, 'onNotice' | 'log'>,
  once: (ask: Ask) => Promise<SpotNotice | number>,
): () => void {
  const stop = new AbortController();
  const ask: Ask = async (path, { method = 'GET', headers = {}, waitMs = 0 } = {}) => {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_MS + waitMs)]);
    const response = await fetch(new URL(path, endpoint), { method, headers, signal, redirect: 'error' });
    return { status: response.status, body: (await response.text()).slice(0, 1 << 20), headers: response.headers };
  };
  const run = async () => {
    let wait = FIRST_WAIT;
    let complained = false;
    while (!stop.signal.aborted) {
      let pause: number;
      try {
        const found = await once(ask);
        if (stop.signal.aborted) return;
        if (typeof found !== 'number') {
          onNotice(found);
          return;
        }
        pause = found;
        wait = FIRST_WAIT;
        complained = false;
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!complained)
          log.warn(
            `no spot notices from ${name} at ${endpoint} for now: ${explain(error)}; trying on (--spot none ends that)`,
          );
        complained = true;
        pause = wait;
        wait = Math.min(MAX_WAIT, wait * 2);
      }
      await sleep(pause, undefined, { signal: stop.signal }).catch(() => {}); // stopped
    }
  };
  void run();
  return () => stop.abort();
}

/**
 * Seconds from now until a time that a service has named, by the service's own clock where it says what that is.
 * @throws Error if it is no time
 */
export function secondsUntil(time: string, headers: Headers): number {
  const at = Date.parse(time);
  if (Number.isNaN(at)) throw new Error(`"${time}" is no time`);
  const said = Date.parse(headers.get('date') ?? '');
  return Math.max(0, (at - (Number.isNaN(said) ? Date.now() : said)) / 1000);
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
