import { readFile, stat } from 'node:fs/promises';
import type { ClusterEvent } from '../cluster/events.js';
import { CHUNK, DEFAULT_ADDRESS } from '../constants.js';
import { asDmiError, DmiError, type ErrorCode } from '../errors.js';
import type { PolicyName } from '../plan/options.js';
import {
  type ClientRequest,
  type JobRow,
  type NodeRow,
  type PlanRow,
  type StackAnswer,
  type ThreadRow,
  toClient,
} from '../wire/client-messages.js';
import { findLeader, type Terms } from '../wire/find-leader.js';
import type { ViewChange } from '../wire/host-messages.js';
import type { JobSpec } from '../wire/job-spec.js';
import type { Peer } from '../wire/peer.js';
import { type TlsFiles, tlsOfEnvironment } from '../wire/tls.js';
import { Attachment } from './attachment.js';
import { JobInput, type OpenInput } from './input.js';
import { Job, type JobResult, type OutputPiece } from './job.js';
import { SeenOutput } from './seen.js';

export interface ClientOptions {
  /**
   * `ws://host:port` or `wss://host:port`, or several with commas between them, of which the leader is found; default: DMI_ADDRESS,
   * or the default port on this machine.
   */
  address?: string;
  /** Join token; default: DMI_TOKEN. */
  token?: string | null;
  /** Certificates for `wss`; default: DMI_TLS_CA, DMI_TLS_CERT, DMI_TLS_KEY. */
  tls?: TlsFiles;
  /**
   * How long to try to come back when the connection is lost, ms (default 0: not at all). Jobs and subscriptions then go on,
   * with every piece of output once; other calls under way fail, and so does membership (see Attachment).
   */
  reconnectMs?: number;
}

/** How often the coordinator hears which output has arrived, ms. */
const TELL_MS = 250;
/** How long to wait for a leader where there is only a standby: as long as a lease may last, ms. */
const TAKEOVER_MS = 20_000;
const FIRST_WAIT = 100;
const MAX_WAIT = 1_000;

type Verb = ClientRequest['verb'];
type Body<V extends Verb> = Omit<Extract<ClientRequest, { verb: V }>, 't' | 'request' | 'verb'>;

type Reply = {
  request: number;
  ok: boolean;
  value: unknown;
  code: string | null;
  reason: string | null;
  hint: string | null;
};

/** A connection to a coordinator, for programs: what the `dmi` command does, one method each. */
export class Client {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Set<(event: ClusterEvent) => void>();
  readonly #outputs = new Map<string, (piece: OutputPiece) => void>();
  readonly #views = new Map<string, (change: ViewChange) => void>();
  readonly #jobs = new Map<string, { job: Job; seen: SeenOutput; input: JobInput | null }>();
  readonly #closed: Promise<DmiError | null>;
  #end: (error: DmiError | null) => void = () => {};
  readonly #telling: NodeJS.Timeout;
  #request = 1;
  #subscribed = false;
  #closing = false;

  private constructor(
    private peer: Peer<object>,
    readonly address: string,
    private readonly token: string | null,
    private readonly tls: TlsFiles,
    private readonly reconnectMs: number,
    private readonly terms: Terms,
  ) {
    this.#closed = new Promise(resolve => {
      this.#end = resolve;
    });
    void this.#closed.then(() => clearInterval(this.#telling));
    this.#telling = setInterval(() => this.#tell(), TELL_MS);
    this.#telling.unref();
    this.#use(peer);
  }

  /** @throws DmiError `unreachable`, `standby`, `version`, `auth` */
  static async connect(options: ClientOptions = {}): Promise<Client> {
    const address = options.address ?? (process.env.DMI_ADDRESS || DEFAULT_ADDRESS);
    const token = options.token === undefined ? process.env.DMI_TOKEN || null : options.token;
    const tls = options.tls ?? tlsOfEnvironment();
    const terms: Terms = new Map();
    const until = performance.now() + TAKEOVER_MS;
    for (let wait = FIRST_WAIT; ; wait = Math.min(MAX_WAIT, wait * 2)) {
      try {
        const { peer } = await findLeader({ addresses: address, role: 'client', token, tls, onBad: () => {}, terms });
        return new Client(peer, address, token, tls, options.reconnectMs ?? 0, terms);
      } catch (error) {
        if (asDmiError(error).code !== 'standby' || performance.now() > until) throw error;
      }
      await new Promise(resolve => setTimeout(resolve, wait));
    }
  }

  /** Resolves when the connection has ended: null if `close` was called, else why. */
  get closed(): Promise<DmiError | null> {
    return this.#closed;
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.peer.close(1000, 'bye');
    await this.#closed;
  }

  /** Reads nothing more from the coordinator until called with false: the reader of a job's output is full. */
  hold(full: boolean): void {
    if (full) this.peer.socket.pause();
    else this.peer.socket.resume();
  }

  nodes(): Promise<NodeRow[]> {
    return this.call('nodes', {}) as Promise<NodeRow[]>;
  }

  jobs(): Promise<JobRow[]> {
    return this.call('jobs', {}) as Promise<JobRow[]>;
  }

  /** @param detail ask the hosts for processor time and size */
  threads(options: { job?: string; detail?: boolean } = {}): Promise<ThreadRow[]> {
    return this.call('threads', { job: options.job ?? null, detail: options.detail ?? false }) as Promise<ThreadRow[]>;
  }

  /** What a policy (default: the job's own) would move now, of one job or of all that run. Moves nothing. */
  plan(options: { job?: string; policy?: PolicyName } = {}): Promise<PlanRow[]> {
    return this.call('plan', { job: options.job ?? null, policy: options.policy ?? null }) as Promise<PlanRow[]>;
  }

  /**
   * Resolves when the node has given everything away and left.
   * @param options deadline: seconds that it has; refused if that is too short, unless `partial`
   */
  drain(
    node: string,
    options: { deadline?: number; partial?: boolean } = {},
  ): Promise<{ node: string; seconds: number }> {
    const { deadline = null, partial = false } = options;
    return this.call('drain', { node, deadline, partial }) as Promise<{ node: string; seconds: number }>;
  }

  /** Takes a drain back: the node stays. */
  keep(node: string): Promise<{ node: string }> {
    return this.call('keep', { node }) as Promise<{ node: string }>;
  }

  /** Resolves when the thread runs at its destination. */
  move(
    thread: string,
    node: string,
    job: string | null = null,
  ): Promise<{ thread: string; from: string; to: string; bytes: number; seconds: number; pauseSeconds: number }> {
    return this.call('move', { thread, node, job }) as ReturnType<Client['move']>;
  }

  /** Where a thread is in its program: its calls, with symbols. It stands still for a moment only. */
  stack(thread: string, job: string | null = null): Promise<StackAnswer> {
    return this.call('stack', { thread, job }) as Promise<StackAnswer>;
  }

  /** Resolves when all processes of the job are gone. */
  kill(job: string): Promise<{ job: string; state: string }> {
    return this.call('kill', { job }) as Promise<{ job: string; state: string }>;
  }

  /** Every event of the cluster from now on, until the returned function is called. */
  async subscribe(listener: (event: ClusterEvent) => void): Promise<() => void> {
    this.#listeners.add(listener);
    if (!this.#subscribed) await this.call('subscribe', {});
    this.#subscribed = true;
    return () => this.#listeners.delete(listener);
  }

  /**
   * Uploads what the coordinator does not have of the program and starts it. The job ends with this client.
   * @param sources where the file with a hash is on this machine
   * @param openInput where the job's first thread reads from: called when it reads for the first time. Without it, it reads nothing
   */
  async submit(
    spec: JobSpec,
    sources: ReadonlyMap<string, string>,
    onOutput: (piece: OutputPiece) => void,
    openInput?: OpenInput,
  ): Promise<Job> {
    const hashes = [...new Set(spec.files.map(file => file.hash))];
    const missing = (await this.call('missing', { hashes })) as string[];
    for (const hash of missing) {
      const source = sources.get(hash);
      if (source === undefined) throw new DmiError('image', `no file for image ${hash.slice(0, 12)}`);
      await this.#upload(hash, source);
    }
    // The reply comes first; what follows it may be in the same packet, so the job is made where the reply is read.
    const given = { ...spec, input: openInput !== undefined };
    return (await this.call('submit', { spec: given, output: true }, value => {
      const job = new Job(this, (value as { job: string }).job);
      const seen = new SeenOutput();
      const input = openInput
        ? new JobInput(openInput, piece => void this.call('input', { job: job.id, ...piece }).catch(() => {}))
        : null;
      this.#jobs.set(job.id, { job, seen, input });
      this.#outputs.set(job.id, piece => {
        if (seen.take(piece)) onOutput(piece);
      });
      const listener = (event: ClusterEvent) => job.accept(event);
      this.#listeners.add(listener);
      const end = () => {
        this.#listeners.delete(listener);
        this.#outputs.delete(job.id);
        this.#jobs.delete(job.id);
        input?.close();
      };
      job.done.then(end, end);
      void this.#closed.then(error => job.lost(error));
      return job;
    })) as Job;
  }

  /** Becomes a member of a running job's global memory; see Attachment. */
  async attach(job: string): Promise<Attachment> {
    return (await this.call('attach', { job }, value => {
      const reply = value as ConstructorParameters<typeof Attachment>[1];
      const attachment = new Attachment(this, reply, () => this.#views.delete(reply.job));
      this.#views.set(reply.job, change => attachment.accept(change));
      return attachment;
    })) as Attachment;
  }

  /**
   * One request; resolves with its reply. Most programs use the methods above.
   * @param take makes the result from the reply before the next message is read
   */
  call<V extends Verb>(verb: V, body: Body<V>, take: (value: unknown) => unknown = value => value): Promise<unknown> {
    const request = this.#request++;
    return new Promise((resolve, reject) => {
      if (!this.peer.open) {
        reject(new DmiError('unreachable', `not connected to ${this.address} any more`));
        return;
      }
      this.#waiting.set(request, { resolve: value => resolve(take(value)), reject });
      this.peer.send({ t: 'request', request, verb, ...body });
    });
  }

  #use(peer: Peer<object>): void {
    this.peer = peer;
    peer.receive(toClient, 'coordinator message', message => {
      if (message.t === 'reply') return this.#reply(message);
      if (message.t === 'output') return this.#outputs.get(message.job)?.(message);
      if (message.t === 'input-wanted') return this.#jobs.get(message.job)?.input?.ask(message);
      if (message.t === 'view') return this.#views.get(message.job)?.(message.change);
      for (const listener of this.#listeners) listener(message.event as unknown as ClusterEvent);
    });
    if (!peer.open) this.#broken('');
    else peer.socket.on('close', (_code, reason) => this.#broken(reason.toString()));
  }

  #broken(reason: string): void {
    const error = new DmiError(
      'unreachable',
      this.#closing
        ? 'the client was closed'
        : `lost the connection to the coordinator at ${this.address}${reason && `: ${reason}`}`,
    );
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#views.clear();
    const wanted = !this.#closing && this.reconnectMs > 0 && (this.#jobs.size > 0 || this.#subscribed);
    if (wanted) void this.#comeBack(error);
    else this.#end(this.#closing ? null : error);
  }

  async #comeBack(lost: DmiError): Promise<void> {
    const until = performance.now() + this.reconnectMs;
    for (let wait = FIRST_WAIT; !this.#closing && performance.now() < until; wait = Math.min(MAX_WAIT, wait * 2)) {
      await new Promise(resolve => setTimeout(resolve, wait));
      const { address: addresses, token, tls, terms } = this;
      const found = await findLeader({ addresses, role: 'client', token, tls, onBad: () => {}, terms }).catch(
        () => null,
      );
      if (!found) continue;
      this.#use(found.peer);
      if (this.#subscribed) void this.call('subscribe', {}).catch(() => {});
      for (const { job } of this.#jobs.values()) void this.#follow(job, until);
      return;
    }
    this.#end(this.#closing ? null : lost);
  }

  /** Follows a job again; a coordinator that was restarted hears of it when its nodes have come back. */
  async #follow(job: Job, until: number): Promise<void> {
    const { peer } = this;
    while (this.peer === peer && this.#jobs.has(job.id)) {
      try {
        const { outcome } = (await this.call('watch', { job: job.id, output: true })) as { outcome: JobResult | null };
        if (outcome) job.over(outcome);
        else this.#jobs.get(job.id)?.input?.repeat();
        return;
      } catch (thrown) {
        const error = asDmiError(thrown);
        if (error.code === 'unreachable') return; // the connection is gone again
        if (error.code !== 'not-found' || performance.now() > until) {
          const reason = `the coordinator at ${this.address} was restarted and does not know job ${job.id} any more`;
          return job.lost(error.code === 'not-found' ? new DmiError('unreachable', reason) : error);
        }
      }
      await new Promise(resolve => setTimeout(resolve, MAX_WAIT / 2));
    }
  }

  #tell(): void {
    if (!this.peer.open) return;
    for (const [job, { seen }] of this.#jobs) {
      const news = seen.news();
      if (news.length > 0) void this.call('seen', { job, seen: news }).catch(() => {});
    }
  }

  async #upload(hash: string, path: string): Promise<void> {
    const total = (await stat(path)).size;
    const data = await readFile(path);
    for (let offset = 0; offset < total || offset === 0; offset += CHUNK) {
      await this.call('upload', { hash, offset, total, data: data.subarray(offset, offset + CHUNK) });
    }
  }

  #reply(message: Reply): void {
    const waiting = this.#waiting.get(message.request);
    this.#waiting.delete(message.request);
    if (!waiting) return;
    if (message.ok) waiting.resolve(message.value);
    else {
      const options = message.hint === null ? {} : { hint: message.hint };
      waiting.reject(new DmiError((message.code ?? 'internal') as ErrorCode, message.reason ?? 'refused', options));
    }
  }
}
