import type { Writable } from 'node:stream';
import type { OutputPiece } from '@dmi/core';

const NEWLINE = 10;

/**
 * What threads print, on our stdout and stderr. Pieces are whole lines (or what a thread left unfinished at its end), so
 * lines of two threads never mix; where one was left unfinished, the next thread starts a new line.
 */
export class OutputWriter {
  readonly #open: [thread: string | null, thread: string | null] = [null, null];
  readonly #full = new Set<Writable>();
  #abandoned = false;

  constructor(
    /** Our stdout and stderr. */
    private readonly streams: readonly Writable[],
    private readonly tag: boolean,
    /** Called with true when a stream has enough for now, with false when it takes more. */
    private readonly hold: (full: boolean) => void = () => {},
  ) {}

  /** From now on everything is dropped: nobody reads it. */
  abandon(): void {
    this.#abandoned = true;
    this.hold(false);
  }

  write({ thread, stream, data }: OutputPiece): void {
    if (data.length === 0 || this.#abandoned) return;
    const index = stream === 1 ? 0 : 1;
    const to = this.streams[index];
    if (!to) return;
    const before = this.#open[index];
    const parts: Uint8Array[] = [];
    if (before !== null && before !== thread) parts.push(Buffer.from('\n'));
    parts.push(this.tag ? tagged(data, `[${thread}] `, before === thread) : data);
    this.#open[index] = data[data.length - 1] === NEWLINE ? null : thread;
    if (to.write(Buffer.concat(parts)) || this.#full.has(to)) return;
    this.#full.add(to);
    this.hold(true);
    to.once('drain', () => {
      this.#full.delete(to);
      if (this.#full.size === 0) this.hold(false);
    });
  }
}

function tagged(data: Uint8Array, tag: string, continues: boolean): Buffer {
  const parts: Uint8Array[] = [];
  const prefix = Buffer.from(tag);
  let start = 0;
  while (start < data.length) {
    const newline = data.indexOf(NEWLINE, start);
    const end = newline < 0 ? data.length : newline + 1;
    if (!(continues && start === 0)) parts.push(prefix);
    parts.push(data.subarray(start, end));
    start = end;
  }
  return Buffer.concat(parts);
}
