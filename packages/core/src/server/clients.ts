import { randomBytes } from 'node:crypto';
import { now } from '../clock.js';
import type { ClusterEvent, ClusterInput } from '../cluster/events.js';
import type { Cluster, Waiter } from '../cluster/state.js';
import { jobRows, nodeRows, threadRows } from '../cluster/tables.js';
import { asDmiError, DmiError } from '../errors.js';
import { resolvePrefix, shortId } from '../ids.js';
import type { ImageStore, ImageWriter } from '../images/store.js';
import { type ClientRequest, fromClient, type ToClient } from '../wire/client-messages.js';
import type { FromHost, ToHost, ViewChange } from '../wire/host-messages.js';
import type { Peer } from '../wire/peer.js';
import type { Output } from './output.js';
import { plans } from './plans.js';
import type { Reports } from './reports.js';

interface Session {
  id: string;
  peer: Peer<ToClient>;
  subscribed: boolean;
  /** Jobs whose output goes here. */
  outputs: Set<string>;
  /** Jobs whose output was asked for as they were named. */
  wanted: Set<string>;
  uploads: Map<string, ImageWriter>;
  /** Uploads are taken one after the other. */
  queue: Promise<void>;
}

export interface ClientsOptions {
  images: ImageStore;
  reports: Reports;
  cluster: () => Cluster;
  apply: (input: ClusterInput) => void;
  /** False as soon as another coordinator may lead: nothing is answered then. */
  leads: () => boolean;
  /** A client has this much of a job's output. */
  seen: (job: string, seen: Extract<ClientRequest, { verb: 'seen' }>['seen']) => void;
  toHost: (job: string, member: number, message: ToHost) => void;
}

/** The clients' connections: requests and replies, events, output, attached members' views. */
export class Clients {
  readonly #sessions = new Map<string, Session>();

  constructor(private readonly options: ClientsOptions) {}

  accept(peer: Peer<object>, id: string): void {
    const session: Session = {
      id,
      peer: peer as Peer<ToClient>,
      subscribed: false,
      outputs: new Set(),
      wanted: new Set(),
      uploads: new Map(),
      queue: Promise.resolve(),
    };
    this.#sessions.set(id, session);
    peer.receive(fromClient, 'request', request => this.#request(session, request));
    peer.socket.on('close', () => {
      this.#sessions.delete(id);
      for (const upload of session.uploads.values()) void upload.abort();
      this.options.apply({ type: 'client-gone', client: id, now: now() });
    });
  }

  reply({ client, request }: Waiter, value: unknown): void {
    this.#sessions
      .get(client)
      ?.peer.send({ t: 'reply', request, ok: true, value, code: null, reason: null, hint: null });
  }

  refuse({ client, request }: Waiter, code: string, reason: string, hint: string | null): void {
    this.#sessions.get(client)?.peer.send({ t: 'reply', request, ok: false, value: null, code, reason, hint });
  }

  publish(event: ClusterEvent): void {
    for (const session of this.#sessions.values()) {
      if (session.subscribed || ('job' in event && session.outputs.has(event.job)))
        session.peer.send({ t: 'event', event });
    }
  }

  view(client: string, job: string, change: ViewChange): void {
    this.#sessions.get(client)?.peer.send({ t: 'view', job, change });
  }

  /** Passes output on; the answer is the greatest backlog of those who get it, bytes. */
  output(job: string, pieces: readonly Output[]): number {
    let backlog = 0;
    for (const { outputs, peer } of this.#sessions.values()) {
      if (!outputs.has(job)) continue;
      for (const piece of pieces) peer.send({ t: 'output', job, ...piece });
      backlog = Math.max(backlog, peer.backlog);
    }
    return backlog;
  }

  /** Asks those who follow the job for what it reads; the one that gives it input answers. */
  askForInput(job: string, member: number, { thread, offset }: Extract<FromHost, { t: 'input-wanted' }>): void {
    for (const { outputs, peer } of this.#sessions.values())
      if (outputs.has(job)) peer.send({ t: 'input-wanted', job, member, thread, offset });
  }

  /** The client follows a job from now on. True if it wants its output. */
  follow(client: string, job: string): boolean {
    const session = this.#sessions.get(client);
    if (![...(session?.wanted ?? [])].some(wanted => job.startsWith(wanted))) return false;
    session?.outputs.add(job);
    return true;
  }

  close(reason: string): void {
    for (const { peer } of this.#sessions.values()) peer.socket.close(1001, reason);
  }

  #request(session: Session, request: ClientRequest): void {
    if (!this.options.leads()) return;
    const waiter: Waiter = { client: session.id, request: request.request };
    try {
      this.#dispatch(session, waiter, request);
    } catch (thrown) {
      this.#failed(waiter, thrown);
    }
  }

  #failed(waiter: Waiter, thrown: unknown): void {
    const error = asDmiError(thrown);
    this.refuse(waiter, error.code, error.message, error.hint ?? null);
  }

  #dispatch(session: Session, waiter: Waiter, request: ClientRequest): void {
    const { apply, cluster } = this.options;
    const time = now();
    const answer = (value: unknown) => this.reply(waiter, value);
    const later = (work: Promise<unknown>) => void work.then(answer, error => this.#failed(waiter, error));
    switch (request.verb) {
      case 'nodes':
        answer(nodeRows(cluster()));
        return;
      case 'jobs':
        answer(jobRows(cluster(), time));
        return;
      case 'threads': {
        const job = request.job == null ? null : resolvePrefix('job', request.job, cluster().jobs.keys());
        if (!request.detail) {
          answer(threadRows(cluster(), job));
          return;
        }
        later(this.options.reports.threads(job));
        return;
      }
      case 'stack':
        later(this.options.reports.stack(request.job ?? null, request.thread));
        return;
      case 'plan':
        later(plans(cluster, this.options.reports, request.job, request.policy));
        return;
      case 'missing':
        later(this.#missing(request.hashes));
        return;
      case 'upload':
        session.queue = session.queue
          .then(() => this.#upload(session, request))
          .then(
            () => answer(null),
            error => this.#failed(waiter, error),
          );
        return;
      case 'submit': {
        const job = `j${shortId(randomBytes(8), 6)}`;
        if (request.output) session.outputs.add(job);
        apply({ type: 'submit', waiter, job, key: randomBytes(32), spec: request.spec, now: time });
        return;
      }
      case 'watch': {
        if (request.output) session.wanted.add(request.job);
        apply({ type: 'watch', waiter, job: request.job, now: time });
        return;
      }
      case 'seen':
        if (session.outputs.has(request.job)) this.options.seen(request.job, request.seen);
        answer(null);
        return;
      case 'input': {
        const { job, member, thread, offset, data, end } = request;
        if (session.outputs.has(job)) this.options.toHost(job, member, { t: 'input', thread, offset, data, end });
        answer(null);
        return;
      }
      case 'subscribe':
        session.subscribed = true;
        answer(null);
        return;
      case 'kill':
        apply({ type: 'kill', waiter, job: request.job, now: time });
        return;
      case 'drain':
        void this.#drain(waiter, request);
        return;
      case 'keep':
        apply({ type: 'keep', waiter, node: request.node, now: time });
        return;
      case 'move':
        apply({
          type: 'move',
          waiter,
          job: request.job ?? null,
          thread: request.thread,
          node: request.node,
          now: time,
        });
        return;
      case 'attach':
        apply({ type: 'attach', waiter, job: request.job, now: time });
        return;
      case 'announce':
        apply({
          type: 'announce',
          waiter,
          job: request.job,
          member: request.member,
          host: request.host,
          port: request.port,
          now: time,
        });
        return;
      case 'detach':
        apply({ type: 'detach', waiter, job: request.job, member: request.member, now: time });
        return;
    }
  }

  /** With a deadline, the hosts are asked for their sizes first: whether it can be kept depends on them. */
  async #drain(waiter: Waiter, request: Extract<ClientRequest, { verb: 'drain' }>): Promise<void> {
    const { node, deadline, partial } = request;
    const timed = deadline !== null && deadline > 0;
    const sizes = timed ? await this.options.reports.ask(null).catch(() => []) : [];
    this.options.apply({
      type: 'drain',
      waiter,
      node,
      deadline,
      partial,
      sizes: sizes.map(([job, member, report]) => ({ job, member, report })),
      now: now(),
    });
  }

  async #missing(hashes: readonly string[]): Promise<string[]> {
    const missing: string[] = [];
    for (const hash of hashes) if (!(await this.options.images.has(hash))) missing.push(hash);
    return missing;
  }

  async #upload(session: Session, piece: Extract<ClientRequest, { verb: 'upload' }>): Promise<void> {
    let writer = session.uploads.get(piece.hash);
    if (piece.offset === 0) {
      await writer?.abort();
      if (session.uploads.size >= 16) throw new DmiError('image', 'too many uploads at once');
      writer = await this.options.images.create(piece.hash, piece.total);
      session.uploads.set(piece.hash, writer);
    }
    if (!writer) throw new DmiError('image', `image ${piece.hash.slice(0, 12)}: the first piece is missing`);
    try {
      await writer.write(piece.offset, piece.data);
      if (writer.offset < writer.total) return;
      session.uploads.delete(piece.hash);
      await writer.finish();
    } catch (error) {
      session.uploads.delete(piece.hash);
      throw error;
    }
  }
}
