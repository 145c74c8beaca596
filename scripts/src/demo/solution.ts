import { readFile } from 'node:fs/promises';

export interface Difference {
  /** Largest difference of any displacement component at any node. */
  readonly maxAbsDiff: number;
  /** Largest component of either solution. */
  readonly maxAbs: number;
}

export function difference(a: Float64Array, b: Float64Array): Difference {
  if (a.length === 0) throw new Error('a solution is empty');
  if (a.length !== b.length) throw new Error(`the solutions have ${a.length} and ${b.length} components`);
  let maxAbsDiff = 0;
  let maxAbs = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? Number.NaN;
    const y = b[i] ?? Number.NaN;
    if (!Number.isFinite(x) || !Number.isFinite(y)) throw new Error(`component ${i} of a solution is not a number`);
    maxAbsDiff = Math.max(maxAbsDiff, Math.abs(x - y));
    maxAbs = Math.max(maxAbs, Math.abs(x), Math.abs(y));
  }
  return { maxAbsDiff, maxAbs };
}

/** Compares two files that `fem --solution` has written: native doubles, three per node. */
export async function compareSolutions(first: string, second: string): Promise<Difference> {
  const [a, b] = await Promise.all([readDoubles(first), readDoubles(second)]);
  return difference(a, b);
}

async function readDoubles(path: string): Promise<Float64Array> {
  const bytes = await readFile(path);
  if (bytes.length % 8 !== 0) throw new Error(`${path}: ${bytes.length} bytes are no whole number of doubles`);
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
