import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { DmiError } from '../errors.js';
import { Door, type DoorLimits } from './door.js';

/** Connections that are refused in great numbers are logged as one line per so many ms. */
const SAY_MS = 10_000;

/** Reasons that count against an address. A version that does not fit, or a connection that was given up, is no attack. */
const SUSPECT: ReadonlySet<string> = new Set(['auth', 'malformed', 'internal']);

interface Visit {
  address: string;
  /** What happens when the time for the handshake is over. */
  overdue: (error: DmiError) => void;
}

/** The sockets around `Door`: closes what it refuses and what takes too long, and says so. */
export class Entrance {
  readonly #door: Door<Socket>;
  readonly #visits = new Map<Socket, Visit>();
  /** A connection by its address and port: under TLS, and after the upgrade, the socket is another object. */
  readonly #byName = new Map<string, Socket>();
  #timer: NodeJS.Timeout | null = null;
  #said = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(
    limits: DoorLimits,
    private readonly log: Logger,
  ) {
    this.#door = new Door(limits);
  }

  /** A connection of the network, before anything has been read from it. */
  arrive(socket: Socket): void {
    const name = nameOf(socket);
    const address = socket.remoteAddress ?? '';
    const refusal = this.#door.arrive(socket, address, performance.now());
    if (refusal !== null) {
      socket.destroy();
      this.#say(`refused a connection: ${refusal}`, address);
      return;
    }
    this.#byName.set(name, socket);
    const silent = (error: DmiError) => {
      this.#say(`closed a connection: ${error.message}`, address);
      socket.destroy();
    };
    this.#visits.set(socket, { address, overdue: silent });
    socket.once('close', () => {
      this.#leave(socket);
      if (this.#byName.get(name) === socket) this.#byName.delete(name);
    });
    this.#arm();
  }

  /** Seconds that the peer of this connection has to wait, because it has failed too often. */
  wait(socket: Socket): number {
    const address = socket.remoteAddress ?? '';
    const seconds = Math.ceil(this.#door.wait(address, performance.now()) / 1000);
    if (seconds > 0) this.#say(`refused a connection: too many failed attempts from ${address}`, address);
    return seconds;
  }

  /** What to do, instead of only closing the connection, when its time is over. */
  onOverdue(socket: Socket, end: (error: DmiError) => void): void {
    const visit = this.#visit(socket);
    if (visit) visit.overdue = end;
  }

  proved(socket: Socket): void {
    const raw = this.#byName.get(nameOf(socket));
    if (raw) this.#leave(raw);
  }

  failed(socket: Socket, { code, message }: DmiError): void {
    const address = this.#visit(socket)?.address ?? socket.remoteAddress ?? '';
    this.log.warn({ code, address }, `refused a connection: ${message}`);
    if (SUSPECT.has(code)) this.#door.failed(address, performance.now());
  }

  /** TLS could not be agreed on; the connection is closed. */
  noTls(error: NodeJS.ErrnoException, socket: Socket): void {
    const plain = error.code === 'ERR_SSL_HTTP_REQUEST';
    const why = plain ? 'it does not speak TLS (a peer has to write wss://)' : `no TLS: ${error.message.trim()}`;
    this.#say(`closed a connection: ${why}`, socket.remoteAddress ?? '');
  }

  /** Closes all that have not proved themselves. */
  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    for (const socket of this.#door.waiting) socket.destroy();
  }

  #visit(socket: Socket): Visit | undefined {
    const raw = this.#byName.get(nameOf(socket));
    return raw && this.#visits.get(raw);
  }

  #leave(socket: Socket): void {
    this.#visits.delete(socket);
    this.#door.leave(socket, performance.now());
  }

  /** One timer, for the connection whose time is over first. */
  #arm(): void {
    const { next } = this.#door;
    if (this.#timer !== null || next === null) return;
    this.#timer = setTimeout(() => this.#ring(), Math.max(0, Math.ceil(next - performance.now())));
    this.#timer.unref();
  }

  #ring(): void {
    this.#timer = null;
    const seconds = this.#door.limits.handshakeMs / 1000;
    for (const socket of this.#door.overdue(performance.now()))
      this.#visits.get(socket)?.overdue(new DmiError('timeout', `no handshake within ${seconds} s`));
    this.#arm();
  }

  /** One line of many; the log must not become what an attacker fills the disk with. */
  #say(line: string, address: string): void {
    const now = performance.now();
    if (now - this.#said < SAY_MS) {
      this.#unsaid++;
      return;
    }
    const more = this.#unsaid > 0 ? `; and ${this.#unsaid} more since the last such line` : '';
    this.#said = now;
    this.#unsaid = 0;
    this.log.warn({ address }, `${line}${more}`);
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
