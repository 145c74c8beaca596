import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import {
  asDmiError,
  CHUNK,
  type CoordinatorBody,
  DmiError,
  defaultImageDir,
  GRACE_MS,
  type HostJobMessage,
  HostMemory,
  ImageStore,
  type JobOutcome,
  type JobSpec,
  type NodeInfo,
  shortId,
  type TlsFiles,
  type ToHost,
  VERSION,
} from '@dmi/core';
import { type Logger, pino } from 'pino';
import { Connection } from './connection.js';
import { findHostBinary } from './host-binary.js';
import { type HostExit, HostProcess } from './host-process.js';
import { ImageFetcher } from './images.js';
import { cpuFeatures, defaultCores, defaultMemory, defaultName } from './machine.js';
import { Retained } from './retained.js';
import { type SpotSource, watchSpot } from './spot/source.js';

export interface AgentOptions {
  /** The coordinator, `ws://host:port` or `wss://host:port`; or all that may lead, with commas between them. */
  join: string;
  token?: string | null;
  /** Certificates for a `wss://` coordinator. */
  tls?: TlsFiles;
  /** Default: the machine's name, with a number if it is taken. */
  name?: string;
  cores?: number;
  /** Bytes of global memory offered to each job. */
  memory?: number;
  /** Where other nodes reach this one's data ports; default: the address the coordinator is reached from. */
  address?: string;
  imageDir?: string;
  hostBinary?: string;
  retryMs?: number;
  firstMs?: number;
  log?: Logger;
  /** Where notices come from that this machine will be taken away. */
  spot?: SpotSource;
  /** What to claim to be; for tests. */
  version?: string;
}

/** How an agent's life ended. */
export type AgentEnd = { how: 'left' } | { how: 'lost'; error: DmiError } | { how: 'stopped' };

type Spawn = Extract<CoordinatorBody, { t: 'spawn' }>;

interface HostSlot {
  spawn: Spawn;
  memory: HostMemory;
  /** Null while the program's files are being fetched, and after the end. */
  process: HostProcess | null;
  stopped: boolean;
  /** The process is gone; what is known of it is kept until the job is over. */
  over: boolean;
}

/** Ends of jobs that are kept for a coordinator that is restarted. */
const OUTCOMES = 100;
/** What waits for the coordinator before the hosts are held back. It serves all its connections in turn, each with all that
 * has come: few enough that on a busy machine others do not wait for seconds. */
const BACKLOG_BYTES = 8 << 20;
const BACKLOG_MESSAGES = 1_000;

/** A node: joins a cluster, runs the hosts it is told to, leaves after everything has been given away. */
export class Agent {
  readonly #connection: Connection;
  readonly #images: ImageFetcher;
  readonly #slots = new Map<string, HostSlot>();
  readonly #held = new Set<string>();
  /** By job. */
  readonly #retained = new Map<string, Retained>();
  readonly #outcomes: JobOutcome[] = [];
  /** Why, and by when (of performance.now()). */
  #leaving: { reason: string; by: number | null } | null = null;
  #unwatch: () => void = () => {};
  readonly #log: Logger;
  readonly #binary: string;
  readonly #ended: Promise<AgentEnd>;
  #end: (end: AgentEnd) => void = () => {};
  #over = false;
  #dataAddress = '127.0.0.1';
  #valve: NodeJS.Timeout | null = null;

  private constructor(private readonly options: AgentOptions) {
    this.#log = options.log ?? pino({ level: 'silent' });
    this.#binary = options.hostBinary ?? findHostBinary();
    this.#ended = new Promise(resolve => {
      this.#end = resolve;
    });
    const instance = shortId(randomBytes(16), 16);
    this.#connection = new Connection({
      addresses: options.join,
      token: options.token ?? null,
      tls: options.tls ?? {},
      retryMs: options.retryMs ?? GRACE_MS,
      firstMs: options.firstMs ?? 5_000,
      log: this.#log,
      info: local => this.#info(instance, local),
      reports: () => [...this.#slots.values()].map(slot => slot.memory.report()),
      outcomes: () => this.#outcomes,
      onBody: body => this.#onBody(body),
      onUnnumbered: message => {
        if (message.t === 'need') void this.#lend(message.hash, message.offset);
        else if (message.t === 'piece') this.#images.piece(message.hash, message.offset, message.total, message.data);
        else this.#images.missing(message.hash, message.reason);
      },
      onBreak: () => {
        if (this.#leaving !== null) this.#leaveAlone();
      },
      onBack: fresh => {
        this.#log.info(fresh ? 'back, with a coordinator that was restarted' : 'back');
        this.#images.reconnected();
        if (fresh) this.#leaveAgain();
      },
      onLost: error => void this.#lost(error),
      ...(options.version === undefined ? {} : { version: options.version }),
    });
    this.#images = new ImageFetcher(new ImageStore(options.imageDir ?? defaultImageDir()), (hash, offset) =>
      this.#connection.need(hash, offset),
    );
  }

  /** Resolves when the node has joined. @throws DmiError `unreachable`, `version`, `auth`, `name-taken`, `host` */
  static async start(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    try {
      await agent.#connection.start();
    } catch (error) {
      agent.#connection.close();
      throw error;
    }
    agent.#watch(options.spot ?? { kind: 'none' });
    agent.#log.info({ node: agent.name, host: agent.#binary }, `joined as ${agent.name}`);
    return agent;
  }

  get name(): string {
    return this.#connection.name;
  }

  /** Resolves when the agent has left, was stopped, or has lost its coordinator for good. */
  get ended(): Promise<AgentEnd> {
    return this.#ended;
  }

  /** Process ids of the hosts that run now. */
  get hostPids(): number[] {
    return [...this.#slots.values()].flatMap(slot => slot.process?.pid ?? []);
  }

  /**
   * Asks to leave: threads and memory go to other nodes first. `ended` resolves when that is done.
   * @param seconds until the machine is gone, if that is known
   */
  leave(reason: string, seconds: number | null = null): void {
    const by = seconds === null ? null : performance.now() + seconds * 1000;
    this.#leaving = { reason, by };
    this.#connection.send({ t: 'leave', reason, seconds });
    if (!this.#connection.connected) this.#leaveAlone();
  }

  /** There is no coordinator to say where threads could go. */
  #leaveAlone(): void {
    if (this.#slots.size === 0 && this.#retained.size === 0) return void this.#finish({ how: 'left' });
    const jobs = new Set([...this.#slots.keys(), ...this.#retained.keys()].map(key => key.split('/')[0]));
    this.#log.warn(
      `cannot leave without the coordinator: jobs ${[...jobs].join(', ')} are here; waiting for it (a second signal stops at once)`,
    );
  }

  /** Gives a piece of an image to the coordinator, for another node. */
  async #lend(hash: string, offset: number): Promise<void> {
    const piece = await this.#images.store.read(hash, offset, CHUNK).catch(() => null);
    this.#connection.answer(
      piece
        ? { t: 'piece', hash, offset, total: piece.total, data: piece.data }
        : { t: 'no-piece', hash, reason: 'this node does not have it' },
    );
  }

  #leaveAgain(): void {
    if (this.#leaving === null) return;
    const { reason, by } = this.#leaving;
    const seconds = by === null ? null : Math.max(0, (by - performance.now()) / 1000);
    this.#connection.send({ t: 'leave', reason, seconds });
  }

  /** A notice that this machine will be taken away makes the node leave in time. */
  #watch(source: SpotSource): void {
    this.#unwatch = watchSpot(source, {
      log: this.#log,
      onNotice: ({ reason, seconds }) => {
        this.#log.warn({ node: this.name, seconds }, `${reason}; leaving within ${seconds.toFixed(0)} s`);
        this.leave(reason, seconds);
      },
    });
  }

  /** Ends at once: hosts are stopped, their jobs fail. */
  async stop(): Promise<void> {
    await this.#finish({ how: 'stopped' });
  }

  #info(instance: string, local: string): NodeInfo {
    const { options } = this;
    this.#dataAddress = options.address ?? local.replace(/^::ffff:/, '');
    return {
      name: options.name ?? defaultName(),
      nameFixed: options.name !== undefined,
      instance,
      cores: options.cores ?? defaultCores(),
      memory: options.memory ?? defaultMemory(),
      address: this.#dataAddress,
      hostname: hostname(),
      version: VERSION,
      features: cpuFeatures(),
    };
  }

  #onBody(body: CoordinatorBody): void {
    switch (body.t) {
      case 'spawn':
        return void this.#spawn(body);
      case 'to-host':
        this.#toHost(slotKey(body.job, body.member), body.message);
        return;
      case 'flow':
        this.#flow(body.job, body.open);
        return;
      case 'leave-refused':
        this.#log.warn(
          `cannot leave yet: ${body.reason}; waiting for another node or the job's end (a second signal stops at once)`,
        );
        return;
      case 'released':
        this.#log.info(`released: ${body.reason}`);
        return void this.#finish({ how: 'left' });
      case 'forget':
        this.#forget(body.job, body.outcome);
        return;
      case 'disown':
        this.#disown(slotKey(body.job, body.member), body.reason);
        return;
      case 'remember':
        this.#slots.get(slotKey(body.job, body.member))?.memory.remember(body.exited);
        return;
      case 'replay':
        for (const piece of this.#retain(body.job).pieces())
          this.#connection.send({ t: 'replayed', job: body.job, replay: body.replay, ...piece });
        return;
      case 'seen':
        this.#retained.get(body.job)?.seen(body.seen);
        return;
    }
  }

  async #spawn(spawn: Spawn): Promise<void> {
    const { job, member, spec } = spawn;
    const key = slotKey(job, member);
    const slot: HostSlot = {
      spawn,
      memory: new HostMemory(spawn),
      process: null,
      stopped: false,
      over: false,
    };
    this.#slots.set(key, slot);
    const log = this.#log.child({ job, member });
    const exit = (how: HostExit) => {
      slot.process = null;
      slot.over = true;
      const end = { ...how, detail: how.detail.slice(0, 4000) };
      slot.memory.over(end);
      this.#connection.send({ t: 'host-exited', job, member, ...end });
      if (how.code !== 0)
        log.warn(`host ended: ${how.signal ?? `status ${how.code}`}${how.detail && `: ${how.detail}`}`);
    };
    try {
      await this.#images.fetch(spec.files.map(file => file.hash));
      if (slot.stopped || this.#over) return exit({ code: 0, signal: null, detail: '' });
      const message = jobMessage(
        spawn,
        this.name,
        this.#dataAddress,
        this.options.cores ?? defaultCores(),
        this.options.memory ?? defaultMemory(),
        hash => this.#images.store.path(hash),
      );
      slot.process = new HostProcess(
        this.#binary,
        message,
        {
          message: heard => {
            slot.memory.heard(heard);
            const seq = this.#retain(job).heard(member, heard);
            this.#connection.send({ t: 'from-host', job, member, seq, message: heard });
            this.#checkBacklog();
          },
          exit,
        },
        log,
      );
      if (this.#held.has(job)) slot.process.pause();
      log.info(`host started, pid ${slot.process.pid}`);
    } catch (thrown) {
      exit({ code: null, signal: null, detail: asDmiError(thrown).message });
    }
  }

  #retain(job: string): Retained {
    const retained = this.#retained.get(job) ?? new Retained();
    this.#retained.set(job, retained);
    return retained;
  }

  /** The job is over, and the coordinator knows it. */
  #forget(job: string, outcome: JobOutcome | null): void {
    if (outcome) this.#outcomes.push(outcome);
    if (this.#outcomes.length > OUTCOMES) this.#outcomes.shift();
    this.#held.delete(job);
    this.#retained.delete(job);
    for (const [key, slot] of this.#slots) if (slot.spawn.job === job && slot.over) this.#slots.delete(key);
  }

  #disown(key: string, reason: string): void {
    const slot = this.#slots.get(key);
    if (!slot) return;
    slot.memory.disown();
    this.#toHost(key, { t: 'stop', reason });
  }

  #toHost(key: string, message: ToHost): void {
    const slot = this.#slots.get(key);
    if (!slot) return;
    if (message.t === 'stop') slot.stopped = true;
    slot.memory.sent(message);
    slot.process?.send(message);
  }

  #flow(job: string, open: boolean): void {
    if (open) this.#held.delete(job);
    else this.#held.add(job);
    for (const slot of this.#slots.values()) {
      if (slot.spawn.job !== job) continue;
      if (open) slot.process?.resume();
      else slot.process?.pause();
    }
  }

  /** While the coordinator takes no more, hosts are not read: their output waits with them. */
  #checkBacklog(): void {
    const full = () => {
      const { bytes, messages } = this.#connection.backlog;
      return bytes > BACKLOG_BYTES || messages > BACKLOG_MESSAGES;
    };
    if (this.#valve || !full()) return;
    for (const slot of this.#slots.values()) slot.process?.pause();
    this.#valve = setInterval(() => {
      if (full()) return;
      if (this.#valve) clearInterval(this.#valve);
      this.#valve = null;
      for (const slot of this.#slots.values()) if (!this.#held.has(slot.spawn.job)) slot.process?.resume();
    }, 50);
  }

  async #lost(error: DmiError): Promise<void> {
    this.#log.error(`gave up: ${error.message}; stopping all hosts`);
    await this.#finish({ how: 'lost', error });
  }

  async #finish(end: AgentEnd): Promise<void> {
    if (this.#over) return void (await this.#ended);
    this.#over = true;
    for (const slot of this.#slots.values()) {
      slot.stopped = true;
      slot.process?.stop('the agent is stopping');
    }
    const busy = () => [...this.#slots.values()].some(slot => !slot.over);
    for (let waited = 0; busy() && waited < 6_000; waited += 20) {
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    if (this.#valve) clearInterval(this.#valve);
    this.#unwatch();
    this.#connection.close();
    this.#end(end);
  }
}

function slotKey(job: string, member: number): string {
  return `${job}/${member}`;
}

/** The `job` message to a host, with paths of this machine. @throws DmiError `image` */
function jobMessage(
  spawn: Spawn,
  node: string,
  bind: string,
  cores: number,
  memory: number,
  path: (hash: string) => string,
): HostJobMessage {
  const { job, member, lite, key, spec } = spawn;
  const program: JobSpec['files'][number] | undefined = spec.files.find(file => file.hash === spec.hash);
  if (!program) throw new DmiError('image', `job ${job} does not list its program among its files`);
  return {
    t: 'job',
    job,
    key,
    member,
    node,
    lite,
    input: spec.input ?? false,
    bind,
    program: path(spec.hash),
    hash: spec.hash,
    files: spec.files.map(file => ({ path: file.path, real: path(file.hash), hash: file.hash })),
    argv: spec.argv,
    env: spec.env,
    cwd: spec.cwd,
    pool: memory,
    workers: cores,
    threadMemory: spec.threadMemory,
    peerTimeout: spec.peerTimeout,
    ...(spec.zone === undefined ? {} : { zone: spec.zone }),
  };
}
