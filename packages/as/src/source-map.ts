/** A place in a source file; lines count from 1. */
export interface Place {
  file: string;
  line: number;
}

const DIGITS = new Map([...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].map((c, i) => [c, i]));

/** Numbers of one segment of a source map's `mappings`: base-64 digits of 5 bits, least first, bit 0 of all the sign. */
function numbers(segment: string): number[] {
  const found: number[] = [];
  let value = 0;
  let shift = 0;
  for (const c of segment) {
    const digit = DIGITS.get(c) ?? 0;
    value += (digit & 31) * 2 ** shift;
    shift += 5;
    if (digit & 32) continue;
    found.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    value = 0;
    shift = 0;
  }
  return found;
}

/** The source map of a WebAssembly binary: offsets in the file, ascending, and the place each is of. */
export class SourceMap {
  readonly #offsets: number[] = [];
  readonly #places: Place[] = [];

  constructor(text: string) {
    const { sources, mappings } = JSON.parse(text) as { sources: string[]; mappings: string };
    let [offset, source, line] = [0, 0, 0];
    for (const segment of mappings.split(',')) {
      const [dOffset = 0, dSource = 0, dLine = 0] = numbers(segment);
      offset += dOffset;
      source += dSource;
      line += dLine;
      this.#offsets.push(offset);
      this.#places.push({ file: sources[source] ?? '?', line: line + 1 });
    }
  }

  /** Where the instruction at `offset` comes from: the last entry at or before it. */
  at(offset: number): Place | null {
    let low = 0;
    let high = this.#offsets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#offsets[middle] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    return this.#places[low - 1] ?? null;
  }
}
