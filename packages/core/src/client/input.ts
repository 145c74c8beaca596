import type { Readable } from 'node:stream';

/** Where a job's standard input comes from. It is read no further than the job reads, and destroyed when the job is over. */
export type OpenInput = () => Readable;

interface Wanted {
  member: number;
  thread: string;
  /** In bytes from the beginning of the stream. */
  offset: number;
}
export type InputPiece = Wanted & { data: Uint8Array; end: boolean };

/** A piece has at most this many bytes. */
const MOST = 64 << 10;

/**
 * Gives a job's first thread its standard input, piece by piece as it asks. It may ask for the same bytes several times (an
 * answer was lost, or it has moved), and then gets them again: what was given is kept until bytes behind it are asked for.
 * Nothing is read from the source unless an answer needs it.
 */
export class JobInput {
  #source: Readable | null = null;
  /** What was read and may still be wanted, and where in the stream it begins. */
  #kept: Buffer = Buffer.alloc(0);
  #from = 0;
  #ended = false;
  #wanted: Wanted | null = null;
  #answered: Wanted | null = null;

  constructor(
    private readonly open: OpenInput,
    private readonly give: (piece: InputPiece) => void,
  ) {}

  ask({ member, thread, offset }: Wanted): void {
    // Was long under way, and the thread has got further; or asks for what nobody can have got to.
    if (offset < this.#from || offset > this.#from + this.#kept.length) return;
    this.#kept = this.#kept.subarray(offset - this.#from);
    this.#from = offset;
    this.#wanted = { member, thread, offset };
    this.#answer();
  }

  /** The last answer may have been lost. */
  repeat(): void {
    this.#wanted ??= this.#answered;
    this.#answer();
  }

  close(): void {
    this.#ended = true;
    this.#wanted = null;
    this.#answered = null;
    this.#source?.destroy();
  }

  #answer(): void {
    const wanted = this.#wanted;
    if (!wanted) return;
    if (this.#kept.length === 0 && !this.#ended) {
      this.#read();
      return;
    }
    const data = this.#kept.subarray(0, MOST);
    this.#wanted = null;
    this.#answered = wanted;
    this.give({ ...wanted, data, end: this.#ended && data.length === this.#kept.length });
  }

  #read(): void {
    if (this.#source) {
      this.#source.resume();
      return;
    }
    try {
      this.#source = this.open();
    } catch {
      this.#end();
      return;
    }
    this.#source
      .on('data', (chunk: Buffer | string) => {
        this.#source?.pause();
        this.#kept = Buffer.concat([this.#kept, Buffer.from(chunk)]);
        this.#answer();
      })
      .on('end', () => this.#end())
      .on('close', () => this.#end())
      .on('error', () => this.#end());
  }

  #end(): void {
    this.#ended = true;
    this.#answer();
  }
}
