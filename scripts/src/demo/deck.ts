import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { CACHE, ROOT } from './paths.js';

/** The part, and the length of its elements' edges in the part's units; null takes the script's default. */
export interface Mesh {
  readonly part: string;
  readonly size: number | null;
}

/** Meshes a part with gmsh into an .inp deck, once: later calls find it in the cache. */
export function deckFor({ part, size }: Mesh): string {
  const script = `${ROOT}examples/fem/make-deck`;
  const key = fingerprint([script, `${ROOT}examples/fem/parts/${part}.geo`], String(size));
  const deck = `${CACHE}/${part}-${key}.inp`;
  if (existsSync(deck)) return deck;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${deck}.tmp.inp`;
  const args = [part, unfinished, ...(size === null ? [] : ['--size', String(size)])];
  const { status, stderr, error } = spawnSync(script, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`meshing ${part} failed: ${error?.message ?? stderr}`);
  renameSync(unfinished, deck);
  return deck;
}

/** A short hash of files' contents and more text. */
export function fingerprint(paths: readonly string[], more = ''): string {
  const hash = createHash('sha256').update(more);
  for (const path of paths) hash.update(readFileSync(path));
  return hash.digest('hex').slice(0, 16);
}
