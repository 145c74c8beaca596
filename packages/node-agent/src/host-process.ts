import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import {
  asDmiError,
  check,
  decode,
  FROM_HOST_NAMES,
  type FromHost,
  fromHost,
  type HostJobMessage,
  messageName,
  type ToHost,
} from '@dmi/core';
import type { Logger } from 'pino';
import { FrameReader, frame } from './framing.js';

/** How long a host has after `stop`, and again after SIGTERM, before it is killed, ms. */
const STOP_MS = 3_000;
const TERM_MS = 2_000;
/** Last lines of a host's own stderr, kept to explain its end. */
const TAIL = 8;

export interface HostExit {
  code: number | null;
  signal: string | null;
  detail: string;
}

export interface HostEvents {
  message: (message: FromHost) => void;
  /** The process is gone, and everything it has said was delivered. */
  exit: (exit: HostExit) => void;
}

/** One dmi-host: its process and its control channel. */
export class HostProcess {
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #reader = new FrameReader();
  readonly #tail: string[] = [];
  #stopping: NodeJS.Timeout | null = null;
  #trouble: string | null = null;
  #unread: HostExit | null = null;

  constructor(
    binary: string,
    job: HostJobMessage,
    private readonly events: HostEvents,
    private readonly log: Logger,
  ) {
    // A process group of its own: Ctrl-C at the terminal is for the agent, which then drains.
    this.#child = spawn(binary, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      detached: true,
      env: { PATH: process.env.PATH ?? '', ...hostSettings() },
    });
    this.#channel = this.#child.stdio[3] as Socket;
    this.#channel.on('data', (bytes: Buffer) => this.#data(bytes));
    this.#channel.on('error', error => this.log.debug(`host channel: ${error.message}`));
    this.#channel.on('close', () => this.#finish());
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (!stream) continue;
      stream.on('error', () => {});
      createInterface({ input: stream }).on('line', line => this.#line(line));
    }
    this.#child.on('error', error => {
      this.#trouble ??= error.message;
      if (this.#child.pid === undefined) this.#over({ code: null, signal: null, detail: '' });
    });
    this.#child.on('exit', (code, signal) => this.#over({ code, signal, detail: '' }));
    this.#write(job);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  send(message: ToHost): void {
    if (message.t === 'stop') this.stop(message.reason);
    else this.#write(message);
  }

  /** Asks it to end; makes it if it does not. */
  stop(reason: string): void {
    if (this.#stopping) return;
    this.#channel.resume();
    this.#write({ t: 'stop', reason: reason.slice(0, 4000) });
    this.#stopping = setTimeout(() => {
      this.log.warn(`host ${this.pid} did not stop within ${STOP_MS / 1000} s; sending SIGTERM`);
      this.#child.kill('SIGTERM');
      this.#stopping = setTimeout(() => this.#child.kill('SIGKILL'), TERM_MS);
    }, STOP_MS);
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Reads no more of its messages until `resume`: what it prints has nowhere to go. */
  pause(): void {
    if (!this.#stopping) this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  #write(message: object): void {
    if (!this.#channel.destroyed && this.#channel.writable) this.#channel.write(frame(message));
  }

  #data(bytes: Buffer): void {
    try {
      for (const body of this.#reader.push(bytes)) this.#message(decode(body));
    } catch (thrown) {
      this.#trouble ??= `it broke the control protocol: ${asDmiError(thrown).message}`;
      this.log.error(this.#trouble);
      this.kill();
    }
  }

  #message(value: unknown): void {
    const name = messageName(value);
    if (name === null || !FROM_HOST_NAMES.has(name)) {
      this.log.warn(`skipped an unknown message "${name}" of a host`);
      return;
    }
    const message = check(fromHost, value, 'host message');
    if (message.t !== 'log') {
      this.events.message(message);
      return;
    }
    const level = message.level >= 50 ? 'error' : message.level >= 40 ? 'warn' : message.level >= 30 ? 'info' : 'debug';
    if (message.level >= 40) this.#remember(message.msg);
    this.log[level](message.msg);
  }

  #line(line: string): void {
    this.#remember(line);
    this.log.warn(`dmi-host: ${line}`);
  }

  #remember(line: string): void {
    this.#tail.push(line.slice(0, 500));
    if (this.#tail.length > TAIL) this.#tail.shift();
  }

  /** The process has ended; its channel may still hold messages. */
  #over(exit: HostExit): void {
    if (this.#stopping) clearTimeout(this.#stopping);
    if (this.#unread) return;
    this.#unread = exit;
    this.#channel.resume();
    if (this.#channel.destroyed) this.#finish();
    else setTimeout(() => this.#channel.destroy(), 1_000).unref();
  }

  #finish(): void {
    const exit = this.#unread;
    if (!exit || this.#finished) return;
    this.#finished = true;
    const detail = [this.#trouble, ...this.#tail]
      .filter(line => line !== null)
      .join('; ')
      .slice(0, 2000);
    this.events.exit({ ...exit, detail });
  }
  #finished = false;
}

/** Settings for the host itself, passed on from the agent's environment. */
function hostSettings(): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if ((name.startsWith('DMI_HOST_') || name === 'DMI_SHARED_MEMORY') && value !== undefined) settings[name] = value;
  }
  return settings;
}
