import { InvalidArgumentError } from 'commander';

/** A whole number, which may be written as a power: `65536`, `2^16`. */
export function power(value: string): number {
  const [, base, exponent] = /^(\d+)(?:\^(\d+))?$/.exec(value.trim()) ?? [];
  const n = Number(base) ** Number(exponent ?? 1);
  if (!Number.isSafeInteger(n) || n < 1)
    throw new InvalidArgumentError('write a number of at least 1, like 65536 or 2^16.');
  return n;
}

export const align = {
  /** Powers of two from 1 to 16 pieces, a factor of 16 apart below half a piece and of 2 from there on. */
  sweep(piece: number): number[] {
    const top = 2 ** Math.floor(Math.log2(piece));
    const found: number[] = [];
    for (let at = 1; at < top / 2; at *= 16) found.push(at);
    for (let at = top / 2; at <= top * 16; at *= 2) if (at >= 1) found.push(at);
    return found;
  },
  /** `2^16` for powers of two from 1024 on. */
  show(n: number): string {
    return n >= 1024 && Number.isInteger(Math.log2(n)) ? `2^${Math.log2(n)}` : String(n);
  },
};
