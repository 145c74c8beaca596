import { parseArgs } from 'node:util';

export interface Options {
  readonly json: boolean;
  readonly threads: number;
  readonly part: string;
  readonly size: number | null;
  /** Directory for the results. */
  readonly output: string;
}

export const USAGE = `usage: npm run demo -- [--json] [--threads N] [--part NAME] [--size H] [--output DIR]

An elastic finite-element run: starts a coordinator and two agents on loopback, runs examples/fem with 16 threads, joins
two more agents a third of the way in, drains three a third later, and compares the solution with that of a run on
a cluster that never changed.

  --json         one JSON object on stdout, progress on stderr
  --threads N    threads of the job (16)
  --part NAME    examples/fem/parts/NAME.geo (bracket)
  --size H       length of the mesh's edges in the part's units; larger is quicker
  --output DIR   where the .vtu goes (demo-results)`;

export class UsageError extends Error {}

/** null: help was asked for. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parse(args);
  if (values.help) return null;
  return {
    json: values.json ?? false,
    threads: positive('--threads', values.threads ?? '16'),
    part: values.part ?? 'bracket',
    size: values.size === undefined ? null : positive('--size', values.size),
    output: values.output ?? 'demo-results',
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        threads: { type: 'string' },
        part: { type: 'string' },
        size: { type: 'string' },
        output: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`${name} ${text}: a positive number is expected`);
  return value;
}
