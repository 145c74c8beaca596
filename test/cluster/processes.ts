import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ClusterEvent } from '@dmi/core';
import type { Network } from '../../scripts/src/network.js';
import { ROOT } from './guests.js';

const DMI = join(ROOT, 'packages/cli/bin/dmi.js');

export interface Outcome {
  stdout: string;
  stderr: string;
  status: number | null;
}

/** A `dmi` command that runs beside the test. */
export class Command {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Outcome>;

  constructor(
    readonly child: ChildProcess,
    readonly events: string | null,
  ) {
    child.stdout?.setEncoding('utf8').on('data', text => {
      this.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', text => {
      this.stderr += text;
    });
    this.ended = new Promise(resolve =>
      child.once('close', status => resolve({ stdout: this.stdout, stderr: this.stderr, status })),
    );
  }

  firstLine(): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.child.stdout) createInterface({ input: this.child.stdout }).once('line', resolve);
      void this.ended.then(({ stderr, status }) => reject(new Error(`ended with ${status}: ${stderr}`)));
    });
  }

  /** What `--events` has written so far. */
  log(): ClusterEvent[] {
    if (this.events === null || !existsSync(this.events)) return []; // the command is still starting
    const text = readFileSync(this.events, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as ClusterEvent);
  }
}

/** A coordinator and agents, each a process, as a user starts them; and everything to leave nothing of it behind. */
export class Processes {
  readonly #dir = mkdtempSync(join(tmpdir(), 'dmi-system-'));
  readonly #commands: Command[] = [];
  readonly #agents = new Map<string, Command>();
  readonly #env: NodeJS.ProcessEnv;
  #runs = 0;
  #apart = false;
  coordinator: Command | null = null;

  private constructor(
    more: NodeJS.ProcessEnv = {},
    private readonly network: Network | null = null,
  ) {
    const ours = Object.entries(process.env).filter(([name]) => !/^DMI_(TOKEN|ADDRESS|TLS_)/.test(name));
    this.#env = { ...Object.fromEntries(ours), NO_COLOR: '1', DMI_CACHE_DIR: this.#dir, ...more };
  }

  /** @param nodes names of the first agents */
  static async start(nodes: readonly string[], ...flags: string[]): Promise<Processes> {
    return await new Processes().#begin('127.0.0.1:0', nodes, flags);
  }

  /** The same on a network, which ends with the cluster: agents on machines of their names; all else on the machine `hub`. */
  static async on(network: Network, nodes: readonly string[], ...flags: string[]): Promise<Processes> {
    // The machines share a kernel: without this, threads would move past the network.
    const cluster = new Processes({ DMI_TOKEN: 'a secret of the test', DMI_HOST_MOVES: 'stream' }, network);
    return await cluster.#begin(`${network.address('hub')}:7070`, nodes, flags);
  }

  async #begin(listen: string, nodes: readonly string[], flags: readonly string[]): Promise<this> {
    try {
      await this.coordinate(listen, ...flags);
      await Promise.all(nodes.map(name => this.join(name)));
      return this;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Starts a coordinator; on the port that the last one had, unless told otherwise. */
  async coordinate(listen = new URL(this.address).host, ...flags: string[]): Promise<void> {
    this.coordinator = this.#start(['coordinator', '--listen', listen, '--log-level', 'warn', ...flags]);
    this.#env.DMI_ADDRESS = await this.coordinator.firstLine();
  }

  /** One more coordinator, of the same store: whatever is started from now on is told of it as well. */
  async standBy(...flags: string[]): Promise<Command> {
    const command = this.#start(['coordinator', '--listen', '127.0.0.1:0', '--log-level', 'warn', ...flags]);
    const address = await command.firstLine();
    this.#env.DMI_ADDRESS = `${this.address},${address}`;
    return command;
  }

  /** The coordinator's URL; with standbys, all of them. */
  get address(): string {
    return this.#env.DMI_ADDRESS ?? '';
  }

  /** Coordinators and agents as if each were on a machine of its own: none has a program that it was not sent. */
  static apart(): Processes {
    const cluster = new Processes();
    cluster.#apart = true;
    return cluster;
  }

  /** A directory and environment without any cluster, for `dmi run --local`. */
  static none(env: NodeJS.ProcessEnv = {}): Processes {
    return new Processes(env);
  }

  async join(name: string, ...flags: string[]): Promise<Command> {
    const size = ['--cores', '1', '--memory', '256M', '--log-level', 'warn'];
    const command = this.#start(['agent', '--name', name, ...size, ...flags], null, name);
    await command.firstLine();
    this.#agents.set(name, command);
    return command;
  }

  agent(name: string): Command {
    const command = this.#agents.get(name);
    if (!command) throw new Error(`no agent ${name}`);
    return command;
  }

  /** `dmi run`, with events. */
  run(...args: string[]): Command {
    const events = join(this.#dir, `events-${this.#runs++}`);
    return this.#start(['run', '--events', events, ...args], events);
  }

  /** `dmi run` that reads something: what is written to its child's stdin, or an open file. */
  read(stdin: 'pipe' | number, ...args: string[]): Command {
    return this.#start(['run', ...args], null, 'hub', stdin);
  }

  /** A command that ends soon. */
  dmi(...args: string[]): Outcome {
    const [command, ...rest] = this.#command(args, 'hub');
    return spawnSync(command, rest, {
      encoding: 'utf8',
      env: this.#env,
      timeout: 60_000,
      maxBuffer: 64 << 20,
    });
  }

  json<T>(...args: string[]): T {
    const { stdout, stderr, status } = this.dmi(...args, '-o', 'json');
    if (status !== 0) throw new Error(`dmi ${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** The host processes that belong to this test (they inherit nothing else to know them by). */
  hosts(): number[] {
    const mine = new Set(this.#commands.map(({ child }) => child.pid));
    const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,stat=,comm='], { encoding: 'utf8' });
    return stdout
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .filter(
        ([, ppid, stat, comm]) => comm?.startsWith('dmi-host') && !stat?.startsWith('Z') && mine.has(Number(ppid)),
      )
      .map(([pid]) => Number(pid));
  }

  async stop(): Promise<void> {
    for (const { child } of this.#commands)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    this.network?.remove();
    await Promise.all(this.#commands.map(({ ended }) => ended));
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** A command that runs beside the test, without events. */
  begin(...args: string[]): Command {
    return this.#start(args);
  }

  /** `dmi` with these arguments, on a machine if there is a network. */
  #command(args: readonly string[], machine: string): [string, ...string[]] {
    const command: [string, ...string[]] = [process.execPath, DMI, ...args];
    return this.network?.on(machine, command) ?? command;
  }

  #start(
    args: string[],
    events: string | null = null,
    machine = 'hub',
    stdin: 'ignore' | 'pipe' | number = 'ignore',
  ): Command {
    const [program, ...rest] = this.#command(args, machine);
    const own = this.#apart ? { DMI_CACHE_DIR: join(this.#dir, `machine-${this.#commands.length}`) } : {};
    const child = spawn(program, rest, { env: { ...this.#env, ...own }, stdio: [stdin, 'pipe', 'pipe'] });
    const command = new Command(child, events);
    this.#commands.push(command);
    return command;
  }
}

/** Waits until something is so. */
export async function until(what: string, so: () => boolean, seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await pause(50)) if (so()) return;
  throw new Error(`not within ${seconds} s: ${what}`);
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

export function running(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
