import type { WriteStream } from 'node:tty';

export interface Status {
  readonly title: string;
  readonly iteration: number;
  /** Iterations the unchanging run took; null while nobody knows. */
  readonly expected: number | null;
  readonly residual: number;
  /** Threads per node. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** Shows where a run is: redrawn in place on a terminal, a line every second or so anywhere else. */
export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  #drawn = 0;
  #lastPlain = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#live = (out as WriteStream).isTTY === true && process.env.TERM !== 'dumb';
  }

  /** A line that stays. */
  say(line: string): void {
    this.#erase();
    this.#out.write(`${line}\n`);
  }

  show(status: Status): void {
    if (this.#live) {
      const lines = picture(status, process.env.NO_COLOR === undefined);
      this.#erase();
      this.#out.write(`${lines.join('\n')}\n`);
      this.#drawn = lines.length;
    } else if (performance.now() - this.#lastPlain > 1000) {
      this.#lastPlain = performance.now();
      this.#out.write(`${plain(status)}\n`);
    }
  }

  /** Ends the live picture, if there is one. */
  settle(): void {
    this.#erase();
  }

  #erase(): void {
    if (this.#drawn > 0) this.#out.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }
}

export function plain({ title, iteration, expected, residual, nodes }: Status): string {
  const of = expected === null ? '' : `/${expected}`;
  const threads = Object.entries(nodes).map(([name, count]) => `${name}=${count}`);
  return `${title}: iteration ${iteration}${of}, residual ${residual.toExponential(2)}, threads ${threads.join(' ')}`;
}

/** The lines of the live picture. */
export function picture({ title, iteration, expected, residual, nodes }: Status, colour: boolean): string[] {
  const width = 40;
  const done = expected === null ? 0 : Math.min(width, Math.round((iteration / expected) * width));
  const bar = `${'█'.repeat(done)}${'░'.repeat(width - done)}`;
  const cyan = (text: string) => (colour ? `\x1b[36m${text}\x1b[0m` : text);
  const head = `${title}  ${cyan(bar)}  iteration ${iteration}${expected === null ? '' : ` of ${expected}`}, residual ${residual.toExponential(2)}`;
  const rows = Object.entries(nodes).map(
    ([name, count]) =>
      `  ${name.padEnd(8)} ${cyan('▪'.repeat(count))} ${count === 1 ? '1 thread' : `${count} threads`}`,
  );
  return [head, ...rows];
}
