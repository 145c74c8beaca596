import { parseArgs } from 'node:util';

export interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly loopback: boolean;
  /** Length of the mesh's edges; null: what the experiment takes. */
  readonly size: number | null;
  /** Directory for the results. */
  readonly output: string;
}

export const USAGE = `usage: npm run experiment -- elastic-fem [--quick] [--json] [--loopback] [--size H] [--output DIR]

The finite-element example with 128 threads on 8 nodes; then 8 join, then 12 of the 16 leave. Time per iteration, threads per
node, seconds and bytes of each change, as a table, and as a picture and JSON in DIR. As root every node is a network namespace with
links of 10 Gbit/s; otherwise all are on loopback.

  --quick        16 threads, 2 nodes, 2 join, 3 leave, a coarser mesh
  --json         one JSON object on stdout, progress on stderr
  --loopback     no network namespaces
  --size H       length of the mesh's edges (4; 4.5 with --quick); smaller ones give the job more to do
  --output DIR   where elastic-fem.json, elastic-fem.svg and the solution go (experiment-results)`;

export class UsageError extends Error {}

/** null: help was asked for. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const [name, ...more] = positionals;
  if (name !== 'elastic-fem')
    throw new UsageError(name === undefined ? 'which experiment?' : `there is no experiment ${name}`);
  if (more.length > 0) throw new UsageError(`too many arguments: ${more.join(' ')}`);
  return {
    quick: values.quick ?? false,
    json: values.json ?? false,
    loopback: values.loopback ?? false,
    size: values.size === undefined ? null : positive('--size', values.size),
    output: values.output ?? 'experiment-results',
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`${name} ${text}: a positive number is expected`);
  return value;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        quick: { type: 'boolean' },
        json: { type: 'boolean' },
        loopback: { type: 'boolean' },
        size: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        output: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
