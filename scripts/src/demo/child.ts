import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A program that the demo has started: its lines as they come, and how it ended. */
export class Child {
  readonly #process: ChildProcess;
  readonly #name: string;
  readonly #stderr: string[] = [];
  readonly ended: Promise<number>;

  constructor(name: string, command: string, args: readonly string[], onLine: (line: string) => void) {
    this.#name = name;
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const { stdout, stderr } = this.#process;
    if (stdout) createInterface({ input: stdout }).on('line', onLine);
    if (stderr)
      createInterface({ input: stderr }).on('line', line => {
        this.#stderr.push(line);
        if (this.#stderr.length > 40) this.#stderr.shift();
      });
    this.ended = new Promise((resolve, reject) => {
      this.#process.on('error', reject).on('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
    });
    // Whoever waits for the end hears of an error; nobody may be waiting yet.
    this.ended.catch(() => {});
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Rejects when the program ends, with what it last said on stderr. */
  async failsEarly(): Promise<never> {
    const code = await this.ended;
    throw new Error(`${this.#name} ended with status ${code}\n${this.lastWords()}`);
  }

  lastWords(): string {
    return this.#stderr.map(line => `  ${line}`).join('\n');
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#process.kill(signal);
  }

  /** Asks with SIGTERM, insists with SIGKILL after `seconds`. */
  async stop(seconds: number): Promise<void> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), seconds * 1000);
    await this.ended.catch(() => {});
    clearTimeout(timer);
  }
}
