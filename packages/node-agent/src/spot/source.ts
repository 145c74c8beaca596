import { DmiError } from '@dmi/core';
import type { Logger } from 'pino';
import { watchAws } from './aws.js';
import { watchAzure } from './azure.js';
import { watchFile } from './file.js';
import { watchGce } from './gce.js';

/** This machine is going to be taken away. */
export interface SpotNotice {
  /** Who says so, for the log and `dmi nodes`. */
  reason: string;
  /** How long it has, from now. */
  seconds: number;
}

/** Where notices come from. `sigterm` is the signal, which comes with a deadline nobody tells us. */
export type SpotSource =
  | { kind: 'none' }
  | { kind: 'aws' | 'gce' | 'azure'; endpoint?: string }
  | { kind: 'file'; path: string }
  | { kind: 'sigterm'; seconds: number };

export interface WatchOptions {
  /** Called once at most; watching has ended then. */
  onNotice: (notice: SpotNotice) => void;
  log: Logger;
  /** Between two questions to a service that cannot be waited for, ms; for tests. */
  pollMs?: number;
}

/** @throws DmiError `usage` */
export function parseSpot(text: string): SpotSource {
  const [, cloud, endpoint] = /^(aws|gce|azure)(?:=(https?:\/\/.+))?$/.exec(text) ?? [];
  if (cloud === 'aws' || cloud === 'gce' || cloud === 'azure')
    return endpoint === undefined ? { kind: cloud } : { kind: cloud, endpoint };
  if (text === 'none') return { kind: 'none' };
  const [kind = '', rest] = text.split(/:(.*)/s);
  if (kind === 'file' && rest) return { kind, path: rest };
  if (kind === 'sigterm' && Number(rest) > 0) return { kind, seconds: Number(rest) };
  throw new DmiError('usage', `"${text}" is no source of spot notices`, {
    object: text,
    hint: 'write aws, gce, azure, file:PATH, sigterm:SECONDS or none',
  });
}

/** Watches until there is a notice; the function that is returned stops it. */
export function watchSpot(source: SpotSource, options: WatchOptions): () => void {
  switch (source.kind) {
    case 'none':
    case 'sigterm':
      return () => {};
    case 'file':
      return watchFile(source.path, options);
    case 'aws':
      return watchAws(source.endpoint ?? 'http://169.254.169.254', options);
    case 'gce':
      return watchGce(source.endpoint ?? 'http://metadata.google.internal', options);
    case 'azure':
      return watchAzure(source.endpoint ?? 'http://169.254.169.254', options);
  }
}
