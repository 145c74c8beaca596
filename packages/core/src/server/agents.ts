import type { Logger } from 'pino';
import { now } from '../clock.js';
import type { ClusterInput } from '../cluster/events.js';
import { freeName } from '../cluster/nodes.js';
import type { Cluster } from '../cluster/state.js';
import { BEATS_MISSED, CHUNK } from '../constants.js';
import { DmiError } from '../errors.js';
import type { ImageStore } from '../images/store.js';
import {
  type AgentBody,
  type CoordinatorBody,
  type FromAgent,
  fromAgent,
  type Join,
  type ToAgent,
} from '../wire/agent-messages.js';
import { encode } from '../wire/codec.js';
import { Link } from '../wire/link.js';
import { CLOSE, type Peer } from '../wire/peer.js';
import { ImageRelay, type PieceAnswer } from './image-relay.js';

/** An agent, over however many connections. */
interface Session {
  id: string;
  name: string;
  instance: string;
  link: Link<CoordinatorBody, AgentBody>;
  peer: Peer<ToAgent> | null;
}

export interface AgentsOptions {
  log: Logger;
  images: ImageStore;
  beatMs: number;
  graceMs: number;
  cluster: () => Cluster;
  apply: (input: ClusterInput) => void;
  /** False as soon as another coordinator may lead: nothing is answered then. */
  leads: () => boolean;
  /** What a host said, before the state machine hears of it. */
  onBody: (name: string, body: AgentBody) => void;
}

/** The agents' connections: joins, reconnects, beats, numbered messages, pieces of images. */
export class Agents {
  readonly #sessions = new Map<string, Session>();
  readonly #relay = new ImageRelay(
    () => [...this.#sessions.values()].filter(({ peer }) => peer !== null).map(({ name }) => name),
    (name, hash, offset) => this.#sessions.get(name)?.peer?.send({ t: 'need', hash, offset }),
  );
  readonly #beats: NodeJS.Timeout;
  #lastBeat = performance.now();

  constructor(private readonly options: AgentsOptions) {
    this.#beats = setInterval(() => this.#beat(), options.beatMs);
  }

  /** Takes over a connection whose handshake is complete. */
  accept(peer: Peer<object>, sessionId: string): void {
    const to = peer as Peer<ToAgent>;
    let session: Session | null = null;
    peer.receive(fromAgent, 'agent message', message => {
      if (!this.options.leads()) return;
      if (session === null) {
        if (message.t !== 'join') throw new DmiError('malformed', `agent message: "${message.t}" before "join"`);
        session = this.#join(to, sessionId, message);
        return;
      }
      if (session.peer === to) this.#receive(session, to, message);
    });
    peer.socket.on('close', () => {
      if (session?.peer !== to) return;
      session.peer = null;
      this.#relay.gone(session.name);
      if (this.#sessions.get(session.name) === session)
        this.options.apply({ type: 'link-down', name: session.name, now: now() });
    });
  }

  send(name: string, body: CoordinatorBody): void {
    const session = this.#sessions.get(name);
    if (!session) return;
    const frame = session.link.send(body);
    session.peer?.send(frame);
    if (body.t === 'released') {
      // It leaves by itself; the session is over as soon as it has read this.
      this.#sessions.delete(name);
    }
  }

  /** The node is dead: if the agent should come back, it has to join anew. */
  forget(name: string): void {
    const session = this.#sessions.get(name);
    this.#sessions.delete(name);
    session?.peer?.close(CLOSE.bye, 'this node was given up');
  }

  close(reason: string): void {
    clearInterval(this.#beats);
    for (const session of this.#sessions.values()) session.peer?.socket.close(1001, reason);
    this.#sessions.clear();
  }

  #join(peer: Peer<ToAgent>, sessionId: string, join: Join): Session {
    const { beatMs, graceMs } = this.options;
    const old = join.resume ? this.#sessions.get(join.resume.name) : undefined;
    if (old && join.resume && old.id === join.resume.session && old.instance === join.node.instance) {
      old.peer?.close(CLOSE.replaced, 'the agent has connected anew');
      old.peer = peer;
      peer.send({
        t: 'joined',
        name: old.name,
        session: old.id,
        resumed: true,
        received: old.link.received,
        beatMs,
        graceMs,
      });
      for (const frame of old.link.replayAfter(join.resume.received)) peer.send(frame);
      this.options.apply({ type: 'rejoin', name: old.name, now: now() });
      return old;
    }
    // A coordinator that was restarted keeps the name the agent had.
    const wanted = join.resume ? { ...join.node, name: join.resume.name } : join.node;
    const name = freeName(this.options.cluster(), wanted);
    if (name === null) {
      const error = new DmiError('name-taken', `the cluster has a node named ${join.node.name} already`, {
        hint: 'choose another with --name',
      });
      peer.send({ t: 'refused', code: error.code, reason: error.message, hint: error.hint ?? null });
      throw error;
    }
    const session: Session = { id: sessionId, name, instance: join.node.instance, link: new Link(), peer };
    this.#sessions.set(name, session);
    peer.send({ t: 'joined', name, session: sessionId, resumed: false, received: 0, beatMs, graceMs });
    this.options.apply({
      type: 'join',
      name,
      node: wanted,
      hosts: join.hosts,
      outcomes: join.outcomes,
      now: now(),
    });
    return session;
  }

  #receive(session: Session, peer: Peer<ToAgent>, message: FromAgent): void {
    switch (message.t) {
      case 'beat':
        session.link.acknowledged(message.ack);
        return;
      case 'frame': {
        const body = session.link.receive(message);
        if (body === null) return;
        this.options.onBody(session.name, body);
        this.options.apply({ type: 'agent', name: session.name, body, now: now() });
        if (session.link.received % 256 === 0) peer.send({ t: 'beat', ack: session.link.received });
        return;
      }
      case 'need':
        void this.#sendPiece(session.name, peer, message.hash, message.offset);
        return;
      case 'piece':
        this.#relay.piece(session.name, message.hash, message.offset, message.total, message.data);
        return;
      case 'no-piece':
        this.#relay.missing(session.name, message.hash);
        return;
      case 'join':
        throw new DmiError('malformed', 'agent message: "join" twice');
    }
  }

  async #sendPiece(name: string, peer: Peer<ToAgent>, hash: string, offset: number): Promise<void> {
    const piece = await this.options.images.read(hash, offset, CHUNK).catch(() => null);
    const send = (found: PieceAnswer) => {
      if (found) peer.send({ t: 'piece', hash, offset, total: found.total, data: found.data });
      else peer.send({ t: 'no-piece', hash, reason: 'neither the coordinator nor any node has it' });
    };
    if (piece) send(piece);
    else this.#relay.want(name, hash, offset, send);
  }

  #beat(): void {
    const silent = this.options.beatMs * BEATS_MISSED;
    const heard = performance.now();
    // After a stall of our own, what the agents said meanwhile has not been read yet: they are not to blame.
    const stalled = heard - this.#lastBeat > 2 * this.options.beatMs;
    this.#lastBeat = heard;
    const encoded = new Map<number, Uint8Array>(); // most are the same when nothing happens
    for (const { peer, link, name } of this.#sessions.values()) {
      if (!peer) continue;
      if (stalled) peer.lastHeard = heard;
      if (heard - peer.lastHeard > silent) {
        this.options.log.warn({ node: name }, `node ${name} has been silent for ${silent / 1000} s`);
        peer.socket.terminate();
      } else {
        let beat = encoded.get(link.received);
        if (!beat) {
          beat = encode({ t: 'beat', ack: link.received });
          encoded.set(link.received, beat);
        }
        peer.sendEncoded(beat);
      }
    }
  }
}
