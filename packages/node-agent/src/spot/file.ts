import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { DmiError } from '@dmi/core';
import type { SpotNotice, WatchOptions } from './source.js';

/** For a file that says no time. */
const DEFAULT_SECONDS = 120;

/**
 * A file that somebody writes when the machine is to go: empty, or seconds from now, or a time (ISO 8601). For clouds and schedulers
 * that are not known here.
 * @throws DmiError `usage` if there is no directory to watch
 */
export function watchFile(path: string, { onNotice, log }: WatchOptions): () => void {
  let watcher: FSWatcher | null = null;
  const stop = () => {
    watcher?.close();
    watcher = null;
  };
  const look = () => {
    if (!watcher) return;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn(`cannot read ${path}: ${(error as Error).message}`);
      return;
    }
    stop();
    const notice = readNotice(path, text.slice(0, 1000).trim());
    if (notice.bad) log.warn(notice.bad);
    onNotice(notice);
  };
  try {
    watcher = watch(dirname(path), (_event, name) => {
      if (name === null || name === basename(path)) look();
    });
  } catch (cause) {
    throw new DmiError('usage', `cannot watch for ${path}: ${(cause as Error).message}`, {
      object: path,
      hint: 'the directory must be there when the agent starts',
      cause,
    });
  }
  // It may have been there before; the caller has our answer first.
  setImmediate(look);
  return stop;
}

function readNotice(path: string, text: string): SpotNotice & { bad: string | null } {
  const reason = `${path} is there`;
  if (text === '') return { reason, seconds: DEFAULT_SECONDS, bad: null };
  const at = /^\d+(\.\d+)?$/.test(text) ? Date.now() + Number(text) * 1000 : Date.parse(text);
  if (!Number.isNaN(at))
    return { reason: `${reason}: ${text}`, seconds: Math.max(0, (at - Date.now()) / 1000), bad: null };
  const bad = `${path} says neither seconds nor a time ("${text.slice(0, 40)}"); taken as ${DEFAULT_SECONDS} s`;
  return { reason, seconds: DEFAULT_SECONDS, bad };
}
