import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DMI = join(ROOT, 'packages/cli/bin/dmi.js');
const FEM = join(ROOT, 'examples/fem/fem');
const FEM_SEQ = join(ROOT, 'examples/fem/build/fem-seq');
const BLOCK = join(ROOT, 'examples/fem/decks/block.mjs');

export const CCX_DECKS = '/usr/share/doc/calculix-ccx-test/examples/test';

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], cwd?: string): Run {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', cwd, timeout: 120_000 });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** The DMI program, on an embedded cluster of `nodes` agents. */
export function fem(nodes: number, threads: number, args: readonly string[]): Run {
  return run(process.execPath, [DMI, 'run', '--local', String(nodes), '-n', String(threads), '--', FEM, ...args]);
}

/** The same numerics in one thread without DMI. */
export function femSeq(args: readonly string[]): Run {
  return run(FEM_SEQ, args);
}

/** A deck of a crooked block with every kind of load and support, for one element type. */
export function blockDeck(type: string, directory: string): string {
  const { status, stdout, stderr } = run(process.execPath, [BLOCK, type]);
  if (status !== 0) throw new Error(stderr);
  const deck = join(directory, `block-${type}.inp`);
  writeFileSync(deck, stdout);
  return deck;
}

/** The demo's part, meshed as coarsely as its curves allow. */
export function bracketDeck(directory: string): string {
  const deck = join(directory, 'bracket.inp');
  const { status, stderr } = run(join(ROOT, 'examples/fem/make-deck'), ['bracket', deck, '--size', '25']);
  if (status !== 0) throw new Error(stderr);
  return deck;
}

/** Runs CalculiX on a deck in a directory of its own and returns the path of its .frd file. */
export function ccx(deck: string, directory: string): string {
  const name = basename(deck, '.inp');
  const place = join(directory, 'ccx');
  mkdirSync(place, { recursive: true });
  // Whatever the deck asks to be printed, we want displacements and nodal stresses.
  const text = readFileSync(deck, 'utf8')
    .replace(/^\*(NODE|EL) *(PRINT|FILE)[^*]*/gim, '')
    .replace(/^\*END *STEP/im, '*NODE FILE\nU\n*EL FILE\nS\n*END STEP');
  writeFileSync(join(place, `${name}.inp`), text);
  const { stdout } = run('ccx', [name], place);
  if (!stdout.includes('Job finished')) throw new Error(`ccx failed on ${deck}:\n${stdout.slice(-1000)}`);
  return join(place, `${name}.frd`);
}

/** A deck's first step without what does not bear on it: other analyses, and initial temperatures without expansion. */
export function firstStep(deck: string, directory: string): string {
  const text = readFileSync(deck, 'latin1');
  const end = /^\*END *STEP.*\n/im.exec(text);
  if (!end) throw new Error(`${deck} has no *END STEP`);
  const kept = text
    .slice(0, end.index + end[0].length)
    .replace(/^\*(DESIGN *VARIABLES|INITIAL CONDITIONS)[^*]*/gim, '');
  const reduced = join(directory, basename(deck));
  writeFileSync(reduced, kept);
  return reduced;
}
