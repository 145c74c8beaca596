import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Packr } from 'msgpackr';

// Real dmi-host processes, with the test in the agent's place (docs/internals/host-control.md).

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const HOST = process.env.DMI_HOST_BIN || join(ROOT, 'native/build/bin/dmi-host');
const DMICC = process.env.DMICC || join(ROOT, 'native/build/bin/dmicc');
const MOVES_BEFORE_GO = 3;
const packr = new Packr({ useRecords: false, int64AsType: 'number' });

/** A message of the control channel; `t` names it. */
export interface Message {
  t: string;
  [member: string]: unknown;
}
export interface Started extends Message {
  thread: string;
}
export interface Moved extends Message {
  move: string;
  thread: string;
  ok: boolean;
  code: string;
  reason: string;
  bytes: number;
}
export interface Exited extends Message {
  thread: string;
  status: number;
  result: string;
}
export interface Fault extends Message {
  thread: string;
  signal: string;
  address: string;
  pc: string;
  symbol: string;
  text: string;
}
export interface Report extends Message {
  threads: { thread: string; state: string; regions: [number, number][]; pinned: string | null }[];
  memory: { bytesSent: number; bytesReceived: number };
}

export interface JobOptions {
  argv?: string[];
  env?: string[];
  cwd?: string;
  workers?: number;
  threadMemory?: number;
  peerTimeout?: number;
  /** Somebody answers when the first thread wants input. */
  input?: boolean;
  zone?: [number, number];
  files?: { path: string; real: string; hash: string }[];
  /** POINT:ACTION, see native/host/fault_point.h. */
  fault?: string;
  /** Names of processor features that it claims not to have, with commas between. */
  without?: string;
  /** Bytes that it may use. */
  memory?: number;
  /** 'stream': pages go through sockets though all hosts are on one machine. */
  moves?: 'stream';
  /** Whether pages that go through sockets are compressed, or where that pays; by default never. */
  compress?: 'always' | 'auto';
  /** The machine that it runs on, where that is not this one (scripts/src/network.ts). */
  machine?: { address: string; on: (command: readonly string[]) => [string, ...string[]] };
}

/** What a host answers with when it was expected to say something else, or died. */
class HostError extends Error {}

export class Host {
  readonly child: ChildProcess;
  readonly address: string;
  readonly log: Message[] = [];
  stderr = '';
  exit: { code: number | null; signal: NodeJS.Signals | null } | null = null;
  readonly #channel: Socket;
  readonly #waiting = new Set<() => void>();
  #buffer: Buffer = Buffer.alloc(0);

  constructor(
    readonly member: number,
    { fault, without, memory, moves, compress, machine }: JobOptions = {},
  ) {
    const env = {
      ...process.env,
      ...(fault ? { DMI_FAULT: fault } : {}),
      ...(without ? { DMI_HOST_WITHOUT: without } : {}),
      ...(moves ? { DMI_HOST_MOVES: moves } : {}),
      ...(compress ? { DMI_HOST_COMPRESS: compress } : {}),
      ...(memory ? { DMI_HOST_MEMORY: `${memory}` } : {}),
    };
    const [command, ...args] = machine?.on([HOST]) ?? [HOST];
    this.address = machine?.address ?? '127.0.0.1';
    this.child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env });
    this.child.stderr?.setEncoding('utf8').on('data', text => {
      this.stderr += text;
    });
    this.#channel = this.child.stdio[3] as Socket;
    this.#channel.on('data', bytes => this.#receive(bytes));
    this.#channel.on('error', () => {}); // the host has ended; `close` tells
    this.child.once('close', (code, signal) => {
      this.exit = { code, signal };
      this.#changed();
    });
  }

  get pid(): number {
    return this.child.pid as number;
  }

  send(message: Message): void {
    const body = packr.pack(message);
    this.frame(body.length, body);
  }
  /** What it says stays unread, as by an agent that is behind. */
  deaf(yes: boolean): void {
    if (yes) this.#channel.pause();
    else this.#channel.resume();
  }
  /** A frame as it is, true or false. */
  frame(length: number, body: Buffer): void {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(length);
    this.#channel.write(Buffer.concat([head, body]));
  }

  /** The first message of this kind that fits, from now or before. @throws when the host ends or says that it cannot go on */
  async next<M extends Message>(t: string, fits: (m: M) => boolean = () => true, seconds = 60): Promise<M> {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const found = this.log.find(m => m.t === t && fits(m as M));
      if (found) return found as M;
      const failed = this.log.find(m => m.t === 'failed');
      if (failed) throw new HostError(`host ${this.member} failed: ${failed.reason}`);
      const fault = this.log.find(m => m.t === 'fault');
      if (fault) throw new HostError(`host ${this.member}: ${fault.text}`);
      if (this.exit)
        throw new HostError(`host ${this.member} ended: ${JSON.stringify(this.exit)} ${this.stderr}; waited for ${t}`);
      const left = deadline - Date.now();
      if (left <= 0)
        throw new HostError(`host ${this.member} did not send ${t}; last ${JSON.stringify(this.log.at(-1))}`);
      await this.change(left);
    }
  }
  all<M extends Message>(t: string): M[] {
    return this.log.filter(m => m.t === t) as M[];
  }
  /** Until something arrives or the host ends. */
  async change(milliseconds: number): Promise<void> {
    await new Promise<void>(resolve => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#waiting.add(done);
    });
  }
  async ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    while (!this.exit) await this.change(60_000);
    return this.exit;
  }

  /** What threads printed, or one of them. */
  output(thread?: string, stream = 1): string {
    const parts = this.all('output').filter(m => (!thread || m.thread === thread) && m.stream === stream);
    return Buffer.concat(parts.map(m => m.data as Buffer)).toString();
  }
  warnings(): string[] {
    return this.all('log')
      .filter(m => (m.level as number) >= 40)
      .map(m => m.msg as string);
  }
  async report(): Promise<Report> {
    const query = `q${this.log.length}`;
    this.send({ t: 'query', query });
    return await this.next<Report>('report', m => m.query === query);
  }

  #receive(bytes: Buffer): void {
    this.#buffer = this.#buffer.length ? Buffer.concat([this.#buffer, bytes]) : bytes;
    let at = 0;
    while (this.#buffer.length - at >= 4) {
      const end = at + 4 + this.#buffer.readUInt32LE(at);
      if (this.#buffer.length < end) break;
      this.log.push(packr.unpack(this.#buffer.subarray(at + 4, end)) as Message);
      at = end;
    }
    this.#buffer = this.#buffer.subarray(at);
    this.#changed();
  }
  #changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

let moves = 0;

/** Hosts of one job on one machine. */
export class Job {
  readonly hosts: Host[] = [];
  constructor(
    readonly program: string,
    readonly options: JobOptions = {},
  ) {}

  /** Starts `count` hosts that know each other. @param each options of the n-th */
  static async start(
    program: string,
    options: JobOptions & { hosts?: number; each?: JobOptions[] } = {},
  ): Promise<Job> {
    const job = new Job(program, options);
    const count = options.hosts ?? 1;
    for (let i = 0; i < count; i++) job.add(options.each?.[i]);
    const ports = await Promise.all(job.hosts.map(async h => (await h.next('hello')).port as number));
    const members = job.hosts.map((h, i) => ({
      id: h.member,
      state: 'active',
      host: h.address,
      port: ports[i],
      cores: 2,
      pool: 1 << 26,
      hostname: `n${h.member}`,
      node: `n${h.member}`,
    }));
    const share = Math.floor(1024 / count);
    const shards = job.hosts.map((h, i) => [i * share, i === count - 1 ? 1024 - i * share : share, h.member]);
    for (const h of job.hosts) h.send({ t: 'view', epoch: 1, full: true, members, gone: [], shards });
    return job;
  }

  add(options: JobOptions = {}): Host {
    const o = { ...this.options, ...options };
    const h = new Host(this.hosts.length + 1, o);
    this.hosts.push(h);
    h.send({
      t: 'job',
      job: 'j1',
      key: Buffer.alloc(32, 7),
      member: h.member,
      node: `n${h.member}`,
      lite: false,
      input: o.input ?? false,
      bind: h.address,
      program: this.program,
      hash: '',
      files: o.files ?? [],
      argv: [this.program, ...(o.argv ?? [])],
      env: ['PATH=/usr/bin:/bin', 'LC_ALL=C.UTF-8', 'HOME=/', ...(o.env ?? [])],
      cwd: o.cwd ?? '/',
      pool: 1 << 26,
      workers: o.workers ?? 2,
      threadMemory: o.threadMemory ?? 1 << 28,
      peerTimeout: o.peerTimeout ?? 30,
      ...(o.zone ? { zone: o.zone } : {}),
    });
    return h;
  }

  host(member: number): Host {
    return this.hosts[member - 1] as Host;
  }

  /** Starts a main thread. @returns its name */
  async thread(member = 1, rank = 0, count = 1): Promise<string> {
    const h = this.host(member);
    const before = h.all('started').length;
    h.send({ t: 'start', role: 'main', rank, count, threads: count });
    for (;;) {
      const started = h.all<Started>('started');
      if (started.length > before) return (started[before] as Started).thread;
      await h.next('started', m => h.log.indexOf(m) >= 0 && h.all('started').indexOf(m) >= before);
    }
  }

  /** Orders a move and gives its outcome. */
  async move(thread: string, from: number, to: number): Promise<Moved> {
    const move = this.order(thread, from, to);
    return await this.host(from).next<Moved>('moved', m => m.move === move);
  }
  order(thread: string, from: number, to: number): string {
    const move = `m${++moves}`;
    this.host(from).send({ t: 'move', move, thread, to, cause: 'user' });
    return move;
  }

  /** How a thread ended, wherever it was. */
  async exited(thread: string, seconds = 60): Promise<Exited> {
    return await this.any(this.hosts.map(h => () => h.next<Exited>('exited', m => m.thread === thread, seconds)));
  }
  private async any<T>(waits: (() => Promise<T>)[]): Promise<T> {
    return await Promise.race(waits.map(wait => wait()));
  }

  /** Moves `thread` back and forth between hosts 1 and 2 until it ends; after the first few the file `go` is
   * there, for which guests wait that would end before they have been moved. @returns its end and how many moves succeeded */
  async bounce(thread: string, options: { gap?: number; most?: number; at?: number; go?: string } = {}) {
    let at = options.at ?? 1;
    let over = false;
    const end = this.exited(thread).finally(() => {
      over = true;
    });
    end.catch(() => {}); // awaited below
    const failures: Moved[] = [];
    let done = 0;
    while (!over && done + failures.length < (options.most ?? 1000)) {
      const moved = await Promise.race([this.move(thread, at, 3 - at), end]);
      if (moved.t !== 'moved') break;
      if ((moved as Moved).ok) {
        done++;
        at = 3 - at;
        if (done === MOVES_BEFORE_GO && options.go) writeFileSync(options.go, '');
      } else if ((moved as Moved).code !== 'gone') {
        failures.push(moved as Moved);
      }
      if (options.gap) await sleep(options.gap);
    }
    const exited = await end;
    await Promise.all(this.hosts.filter(h => !h.exit).map(h => h.report())); // what it printed before has come by then
    return { ...exited, moves: done, failures };
  }

  /** What a thread printed on all hosts together, in the order of its places 1, 2, 1, 2 … only if it stayed in order. */
  output(thread?: string, stream = 1): string {
    return this.hosts.map(h => h.output(thread, stream)).join('');
  }

  /** Ends all hosts: told to stop, or killed. */
  async stop(): Promise<void> {
    for (const h of this.hosts) {
      if (h.exit) continue;
      h.child.kill('SIGCONT');
      h.send({ t: 'stop', reason: 'the test is over' });
    }
    await Promise.all(
      this.hosts.map(async h => {
        const killer = setTimeout(() => h.child.kill('SIGKILL'), 10_000);
        await h.ended();
        clearTimeout(killer);
      }),
    );
  }
}

/** Programs of test/host/guests, compiled when they are first asked for, and a directory for their files. */
export class Guests {
  readonly dir = mkdtempSync(join(tmpdir(), 'dmi-host-'));
  readonly #built = new Map<string, string>();
  #files = 0;

  build(source: string, ...flags: string[]): string {
    const key = [source, ...flags].join(' ');
    let program = this.#built.get(key);
    if (!program) {
      program = join(this.dir, key.replace(/[^\w]+/g, '-'));
      const path = join(ROOT, 'test/host/guests', source);
      const compiler = flags.includes('dmi')
        ? DMICC
        : source.endsWith('.cpp')
          ? 'c++'
          : source.endsWith('.f90')
            ? 'gfortran'
            : 'cc';
      const pie =
        flags.some(f => f === '-static-pie' || f === '-no-pie') || flags.includes('dmi') ? [] : ['-fPIE', '-pie'];
      execFileSync(compiler, ['-O1', '-g', ...pie, ...flags.filter(f => f !== 'dmi'), '-o', program, path, '-lm']);
      this.#built.set(key, program);
    }
    return program;
  }
  /** A path that nothing has used yet. */
  file(name = 'file'): string {
    return join(this.dir, `${name}-${this.#files++}`);
  }
  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const have = (command: string): boolean =>
  (process.env.PATH ?? '').split(':').some(dir => existsSync(join(dir, command)));

/** Lines of a file; none when it is not there. */
export function lines(path: string): string[] {
  return existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter(line => line !== '')
    : [];
}

/** Waits until a condition holds. @throws with `what` after a minute */
export async function until(what: string, holds: () => boolean | Promise<boolean>, pause = 5): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited a minute for ${what}`);
    await sleep(pause);
  }
}

/** A number of /proc/PID/status, in KiB for sizes. */
export function status(pid: number, field: string): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find(one => one.startsWith(`${field}:`));
  return Number.parseInt(line?.split(/\s+/)[1] ?? '', 10);
}
export const mappings = (pid: number): number => readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').length;
