import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { pino } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { now } from '../clock.js';
import type { ClusterInput, Effect } from '../cluster/events.js';
import { type Cluster, type ClusterSettings, emptyCluster } from '../cluster/state.js';
import { step } from '../cluster/step.js';
import { BEAT_MS, DEFAULT_PORT, MAX_HANDSHAKE_MESSAGE, VERSION } from '../constants.js';
import { asDmiError, DmiError } from '../errors.js';
import { shortId } from '../ids.js';
import { defaultImageDir, ImageStore } from '../images/store.js';
import type { AgentBody } from '../wire/agent-messages.js';
import { accept, tooManyFailures } from './accept.js';
import { Agents } from './agents.js';
import { Clients } from './clients.js';
import { DOOR_LIMITS, type DoorLimits } from './door.js';
import { Entrance } from './entrance.js';
import { Outputs } from './outputs.js';
import { Reports } from './reports.js';
import { peerCertificate, type ServerTls, serverTls } from './tls.js';

export interface CoordinatorOptions {
  /** `host:port`; port 0 takes any free one. */
  listen: string;
  token?: string | null;
  /** Certificates: peers then connect with `wss://`. */
  tls?: ServerTls | null;
  imageDir?: string;
  settings?: Partial<ClusterSettings>;
  beatMs?: number;
  /** What peers may do before they have proved themselves. */
  limits?: Partial<DoorLimits>;
  log?: Logger;
}

const TICK_MS = 100;

/** A running coordinator: sockets and timers around the pure `step`. */
export class Coordinator {
  #cluster: Cluster;
  readonly #log: Logger;
  readonly #agents: Agents;
  readonly #clients: Clients;
  readonly #reports: Reports;
  readonly #outputs: Outputs;
  readonly #entrance: Entrance;
  readonly #inputs: ClusterInput[] = [];
  #stepping = false;
  #timer: NodeJS.Timeout | null = null;
  readonly #name = shortId(randomBytes(8), 8);

  private constructor(
    private readonly options: CoordinatorOptions,
    private readonly http: Server,
    private readonly server: WebSocketServer,
    /** `ws://host:port` (or `wss://`) that agents and clients connect to. */
    readonly address: string,
  ) {
    this.#log = options.log ?? pino({ level: 'silent' });
    this.#cluster = emptyCluster(options.settings);
    const cluster = () => this.#cluster;
    const apply = (input: ClusterInput) => this.#apply(input);
    const images = new ImageStore(options.imageDir ?? defaultImageDir());
    this.#agents = new Agents({
      log: this.#log,
      images,
      cluster,
      apply,
      beatMs: options.beatMs ?? BEAT_MS,
      graceMs: this.#cluster.settings.graceMs,
      onBody: (name, body) => this.#onBody(name, body),
    });
    this.#reports = new Reports(cluster, (node, body) => this.#agents.send(node, body));
    this.#outputs = new Outputs({
      cluster,
      toAgent: (node, body) => this.#agents.send(node, body),
      show: (job, pieces) => this.#clients.output(job, pieces),
    });
    this.#clients = new Clients({
      images,
      reports: this.#reports,
      cluster,
      apply,
      seen: (job, seen) => this.#outputs.seen(job, seen),
    });
    this.#entrance = new Entrance({ ...DOOR_LIMITS, ...options.limits }, this.#log);
    http.on('connection', (socket: Socket) => this.#entrance.arrive(socket));
    http.on('tlsClientError', (error, socket) => this.#entrance.noTls(error, socket));
    http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#log.info(
      { address, version: VERSION, token: options.token != null, tls: options.tls != null },
      `coordinator listens on ${address}`,
    );
  }

  /** @throws DmiError `port-in-use`, or `usage` for an address that cannot be listened on */
  static async start(options: CoordinatorOptions): Promise<Coordinator> {
    const { host, port } = parseListen(options.listen);
    if (!isLoopback(host) && options.token == null) {
      throw new DmiError('usage', `a coordinator on ${host} can be reached by others, so it needs a join token`, {
        hint: 'set DMI_TOKEN (or --token-file) here and on the agents, or listen on 127.0.0.1',
      });
    }
    const answer = (_request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(426, { connection: 'close' }).end('dmi: WebSocket only\n');
    };
    const http = options.tls ? createTlsServer(serverTls(options.tls), answer) : createServer(answer);
    await new Promise<void>((resolve, reject) => {
      http.once('error', error => reject(listenError(options.listen, error)));
      http.listen(port, host, resolve);
    });
    const bound = http.address() as AddressInfo;
    const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
    // No compression: a small message can then not become a large one. The limit is for those who have not proved themselves.
    const server = new WebSocketServer({ noServer: true, maxPayload: MAX_HANDSHAKE_MESSAGE, perMessageDeflate: false });
    return new Coordinator(options, http, server, `${options.tls ? 'wss' : 'ws'}://${shown}:${bound.port}`);
  }

  /** A copy-free look at the state, for tests and tables. */
  get cluster(): Readonly<Cluster> {
    return this.#cluster;
  }

  /** Stops listening and closes all connections; agents and their hosts go on without it. */
  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#agents.close();
    this.#outputs.close();
    this.#clients.close();
    this.#entrance.close();
    for (const socket of this.server.clients) setTimeout(() => socket.terminate(), 500).unref();
    await new Promise<void>(resolve => this.server.close(() => resolve()));
    await new Promise<void>(resolve => this.http.close(() => resolve()));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const wait = this.#entrance.wait(request.socket);
    const problem = this.options.tls?.clientAuth ? peerCertificate(request.socket as TLSSocket) : null;
    if (problem !== null) {
      this.#entrance.failed(request.socket, new DmiError('auth', problem));
      refuseUpgrade(socket, 403, problem);
    } else if (wait > 0) refuseUpgrade(socket, 429, tooManyFailures(wait), wait);
    else this.server.handleUpgrade(request, socket, head, peer => void this.#accept(peer, request.socket));
  }

  async #accept(socket: WebSocket, from: Socket): Promise<void> {
    const entrance = this.#entrance;
    const onBad = (error: DmiError) => this.#log.warn({ code: error.code }, `closed a connection: ${error.message}`);
    try {
      const { peer, role, session } = await accept(socket, {
        token: this.options.token ?? null,
        cluster: this.#name,
        onBad,
        wait: () => entrance.wait(from),
        onOverdue: end => entrance.onOverdue(from, end),
      });
      entrance.proved(from);
      if (this.#timer === null) socket.close(1001, 'the coordinator is stopping');
      else if (role === 'agent') this.#agents.accept(peer, session);
      else this.#clients.accept(peer, session);
    } catch (error) {
      entrance.failed(from, asDmiError(error));
    }
  }

  #onBody(node: string, body: AgentBody): void {
    if (body.t === 'from-host' && body.message.t === 'report') this.#reports.accept(body.member, body.message);
    else if (body.t === 'from-host' || body.t === 'replayed') this.#outputs.heard(node, body);
  }

  #tick(): void {
    this.#outputs.tick();
    const idle =
      this.#cluster.jobs.size === 0 && [...this.#cluster.nodes.values()].every(node => node.downSince === null);
    if (!idle) this.#apply({ type: 'tick', now: now() });
  }

  /** One event after the other: effects may cause further events, which wait for their turn. */
  #apply(input: ClusterInput): void {
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        const { cluster, effects } = step(this.#cluster, next);
        this.#cluster = cluster;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'to-agent':
        this.#agents.send(effect.node, effect.body);
        return;
      case 'reply':
        this.#clients.reply(effect.waiter, effect.value);
        return;
      case 'refuse':
        this.#clients.refuse(effect.waiter, effect.code, effect.reason, effect.hint);
        return;
      case 'wake':
        setTimeout(() => this.#timer && this.#tick(), Math.max(0, effect.at - now())).unref();
        return;
      case 'watched':
        if (this.#clients.follow(effect.client, effect.job)) this.#outputs.replay(effect.job);
        return;
      case 'client-view':
        this.#clients.view(effect.client, effect.job, effect.change);
        return;
      case 'drop-agent':
        this.#agents.forget(effect.node);
        return;
      case 'log':
        this.#log[effect.level](effect.fields ?? {}, effect.message);
        return;
      case 'publish': {
        const { event } = effect;
        if (
          event.event === 'job' &&
          (event.state === 'done' || event.state === 'failed' || event.state === 'cancelled')
        ) {
          this.#outputs.end(event.job);
        }
        this.#clients.publish(event);
        return;
      }
    }
  }
}

/** Answers a request for a WebSocket with a reason instead, which wire/connect.ts shows. */
function refuseUpgrade(socket: Duplex, status: number, reason: string, retrySeconds: number | null = null): void {
  socket.on('error', () => {});
  const retry = retrySeconds === null ? '' : `Retry-After: ${retrySeconds}\r\n`;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain\r\n${retry}`;
  const body = `${reason}\n`;
  socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** @throws DmiError `usage` */
export function parseListen(listen: string): { host: string; port: number } {
  const match = /^(?:(?<host>\[[^\]]+\]|[^:]*):)?(?<port>\d{1,5})$/.exec(listen);
  const port = Number(match?.groups?.port);
  if (!match || port > 65_535) {
    throw new DmiError('usage', `"${listen}" is not an address to listen on`, {
      hint: `write host:port, like 127.0.0.1:${DEFAULT_PORT}`,
    });
  }
  return { host: (match.groups?.host ?? '').replace(/^\[|\]$/g, '') || '127.0.0.1', port };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function listenError(listen: string, error: NodeJS.ErrnoException): DmiError {
  if (error.code === 'EADDRINUSE') {
    return new DmiError('port-in-use', `cannot listen on ${listen}: the port is in use`, {
      hint: 'another coordinator may be running there (dmi nodes); choose another port with --listen host:port',
      cause: error,
    });
  }
  return new DmiError('usage', `cannot listen on ${listen}: ${error.message}`, {
    hint: 'choose another with --listen host:port',
    cause: error,
  });
}
