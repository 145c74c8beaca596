import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { pino } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Cluster, type ClusterSettings, emptyCluster } from '../cluster/state.js';
import { DEFAULT_PORT, MAX_HANDSHAKE_MESSAGE, VERSION } from '../constants.js';
import { asDmiError, DmiError } from '../errors.js';
import { defaultImageDir, ImageStore } from '../images/store.js';
import { MemoryStore } from '../store/memory.js';
import type { Store, Term, Waiting } from '../store/store.js';
import { parseAddress } from '../wire/connect.js';
import { accept, tooManyFailures } from './accept.js';
import { DOOR_LIMITS, type DoorLimits } from './door.js';
import { Entrance } from './entrance.js';
import { Reign } from './reign.js';
import { peerCertificate, type ServerTls, serverTls } from './tls.js';

export interface CoordinatorOptions {
  /** `host:port`; port 0 takes any free one. */
  listen: string;
  /** Where agents and clients reach it, if not where it listens: what a standby tells them of a leader. */
  advertise?: string;
  token?: string | null;
  /** Certificates: peers then connect with `wss://`. */
  tls?: ServerTls | null;
  imageDir?: string;
  settings?: Partial<ClusterSettings>;
  beatMs?: number;
  /** What peers may do before they have proved themselves. */
  limits?: Partial<DoorLimits>;
  /** Where coordinators of one cluster meet; default: this one is alone. */
  store?: Store;
  log?: Logger;
}

/** A coordinator: listens, and leads or stands by. What it does as the leader is in reign.ts. */
export class Coordinator {
  readonly #log: Logger;
  readonly #entrance: Entrance;
  readonly #images: ImageStore;
  readonly #stop = new AbortController();
  #term: Term | null = null;
  #reign: Reign | null = null;
  /** Who leads while this one does not, if that is known. */
  #leader: string | null = null;
  #said = '';

  private constructor(
    private readonly options: CoordinatorOptions,
    private readonly http: Server,
    private readonly server: WebSocketServer,
    /** `ws://host:port` (or `wss://`) that agents and clients connect to. */
    readonly address: string,
  ) {
    this.#log = options.log ?? pino({ level: 'silent' });
    this.#images = new ImageStore(options.imageDir ?? defaultImageDir());
    this.#entrance = new Entrance({ ...DOOR_LIMITS, ...options.limits }, this.#log);
    http.on('connection', (socket: Socket) => this.#entrance.arrive(socket));
    http.on('tlsClientError', (error, socket) => this.#entrance.noTls(error, socket));
    http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#log.info(
      { address, version: VERSION, token: options.token != null, tls: options.tls != null },
      `coordinator listens on ${address}`,
    );
  }

  /**
   * Resolves when it leads, or is known to stand by.
   * @throws DmiError `port-in-use`, or `usage` for an address that cannot be listened on
   */
  static async start(options: CoordinatorOptions): Promise<Coordinator> {
    const { host, port } = parseListen(options.listen);
    if (!isLoopback(host) && options.token == null) {
      throw new DmiError('usage', `a coordinator on ${host} can be reached by others, so it needs a join token`, {
        hint: 'set DMI_TOKEN (or --token-file) here and on the agents, or listen on 127.0.0.1',
      });
    }
    if (options.advertise !== undefined) parseAddress(options.advertise);
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
    const address = `${options.tls ? 'wss' : 'ws'}://${shown}:${bound.port}`;
    const coordinator = new Coordinator(options, http, server, address);
    await new Promise<void>(resolve => void coordinator.#serve(resolve));
    return coordinator;
  }

  /** A copy-free look at the state, for tests and tables; empty while another one leads. */
  get cluster(): Readonly<Cluster> {
    return this.#reign?.cluster ?? emptyCluster(this.options.settings);
  }

  /** Who leads: this one, another by its address, or (null) nobody that is known. */
  get leader(): string | null {
    return this.#reign ? this.#advertised : this.#leader;
  }

  /** Stops listening and closes all connections; agents and their hosts go on without it. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#reign?.close(STOPPING);
    this.#reign = null;
    this.#entrance.close();
    for (const socket of this.server.clients) setTimeout(() => socket.terminate(), 500).unref();
    await this.#term?.resign();
    await new Promise<void>(resolve => this.server.close(() => resolve()));
    await new Promise<void>(resolve => this.http.close(() => resolve()));
  }

  get #advertised(): string {
    return this.options.advertise ?? this.address;
  }

  /** Stands by and leads in turns, until it is closed. @param settled called as soon as one of them is known */
  async #serve(settled: () => void): Promise<void> {
    const store = this.options.store ?? new MemoryStore();
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const waiting = (news: Waiting) => {
        this.#standBy(news);
        settled();
      };
      const term = await store.lead({ address: this.#advertised }, waiting, signal).catch(() => null);
      if (term === null) break;
      this.#term = term;
      if (signal.aborted) await term.resign();
      else this.#begin(term);
      settled();
      const why = await Promise.race([term.lost, aborted(signal)]);
      if (why !== null) this.#end(why);
    }
    settled();
  }

  #begin(term: Term): void {
    const { settings = {}, beatMs } = this.options;
    this.#leader = null;
    this.#said = '';
    if (term.number > 0) this.#log.warn({ term: term.number }, `leads now (term ${term.number})`);
    const log = this.#log;
    this.#reign = new Reign({ term, images: this.#images, settings, log, ...(beatMs === undefined ? {} : { beatMs }) });
  }

  /** The term is over: what was known counts no more, and agents and clients have to find who leads. */
  #end(why: DmiError): void {
    this.#term = null;
    this.#log.error({ hint: why.hint }, `leads no more: ${why.message}; jobs go on, standing by`);
    this.#reign?.close('this coordinator leads no more');
    this.#reign = null;
  }

  #standBy({ leader, problem }: Waiting): void {
    this.#leader = leader;
    const line =
      problem !== null
        ? `cannot tell who leads: ${problem.message}; goes on trying`
        : `stands by: ${leader ?? 'another coordinator'} leads`;
    if (line === this.#said) return;
    this.#said = line;
    this.#log.warn(problem?.hint === undefined ? {} : { hint: problem.hint }, line);
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
      const accepted = await accept(socket, from, {
        token: this.options.token ?? null,
        reign: () => this.#place(),
        onBad,
        wait: () => entrance.wait(from),
        onOverdue: end => entrance.onOverdue(from, end),
      });
      entrance.proved(from);
      if (accepted === null) return; // it knows where to go
      if (this.#reign) this.#reign.accept(accepted);
      else socket.close(1001, STOPPING);
    } catch (error) {
      entrance.failed(from, asDmiError(error));
    }
  }

  /** Where a peer is that has proved itself: with the leader, or with one that can only say who that is. */
  #place(): { cluster: string; term: number } | { leader: string | null } {
    const term = this.#term;
    if (this.#reign && term?.held) return { cluster: term.cluster, term: term.number };
    return { leader: this.#leader };
  }
}

const STOPPING = 'the coordinator is stopping';

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise(resolve => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
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
