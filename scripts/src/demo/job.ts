import { createReadStream, existsSync, rmSync, statSync } from 'node:fs';
import { Child } from './child.js';
import { type Cluster, on } from './cluster.js';
import { type FemLine, parseFemLine } from './fem-output.js';
import { FEM } from './paths.js';
import { parseEvent, type RunEvent } from './run-log.js';

export interface JobResult {
  readonly iterations: number;
  /** |f - K u| / |f|, recomputed from the solution. */
  readonly residual: number;
  readonly vtu: string;
  /** From the start of `dmi run` to its end. */
  readonly seconds: number;
  readonly events: readonly RunEvent[];
}

export interface JobOptions {
  readonly cluster: Cluster;
  readonly deck: string;
  readonly threads: number;
  /** The results' path without its suffix: .vtu, .dat and .solution are written. */
  readonly output: string;
  readonly eventsFile: string;
  /** The job is ended when it has printed nothing for so long. */
  readonly silenceSeconds: number;
  readonly onProgress: (line: FemLine) => void;
  readonly onEvent: (event: RunEvent) => void;
}

/** Runs the FEM program through `dmi run` and follows its lines and events until it has ended. */
export async function runFem(options: JobOptions): Promise<JobResult> {
  const { cluster, deck, threads, output, eventsFile } = options;
  let result: Extract<FemLine, { kind: 'result' }> | undefined;
  rmSync(eventsFile, { force: true }); // of an earlier run
  const started = performance.now();
  const run = ['run', '--address', cluster.address, '-n', String(threads), '--events', eventsFile];
  const program = [FEM, deck, '--out', output, '--solution', `${output}.solution`];
  const [command, ...args] = on(cluster.network, 'hub', [...run, '--', ...program]);
  const job = new Child('dmi run', command, args, text => {
    watchdog.refresh();
    const line = parseFemLine(text);
    if (line?.kind === 'result') result = line;
    if (line) options.onProgress(line);
  });
  let silent = false;
  const watchdog = setTimeout(() => {
    silent = true;
    job.signal('SIGINT');
  }, options.silenceSeconds * 1000);
  const events = new Tail(eventsFile, options.onEvent);
  const code = await job.ended;
  clearTimeout(watchdog);
  const seconds = (performance.now() - started) / 1000;
  await events.finish();
  if (silent)
    throw new Error(`the job printed nothing for ${options.silenceSeconds} s; its events are in ${eventsFile}`);
  if (code !== 0 || !result) throw new Error(`the job ended with status ${code}\n${job.lastWords()}`);
  return { iterations: result.iterations, residual: result.residual, vtu: result.vtu, seconds, events: events.seen };
}

/** Reads a growing file of JSON lines. */
class Tail {
  readonly seen: RunEvent[] = [];
  readonly #path: string;
  readonly #onEvent: (event: RunEvent) => void;
  readonly #timer: NodeJS.Timeout;
  #offset = 0;
  #rest = '';
  #reading: Promise<void> = Promise.resolve();

  constructor(path: string, onEvent: (event: RunEvent) => void) {
    this.#path = path;
    this.#onEvent = onEvent;
    this.#timer = setInterval(() => this.#poll(), 100);
  }

  async finish(): Promise<void> {
    clearInterval(this.#timer);
    this.#poll();
    await this.#reading;
  }

  #poll(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    if (!existsSync(this.#path) || statSync(this.#path).size <= this.#offset) return;
    for await (const chunk of createReadStream(this.#path, { start: this.#offset })) {
      const bytes = chunk as Buffer;
      this.#offset += bytes.length;
      const lines = (this.#rest + bytes.toString('utf8')).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) {
        const event = line === '' ? undefined : parseEvent(line);
        if (!event) continue;
        this.seen.push(event);
        this.#onEvent(event);
      }
    }
  }
}
