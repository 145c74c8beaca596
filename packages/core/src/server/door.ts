/** What peers may do before they have proved themselves. */
export interface DoorLimits {
  /** Connections that have not proved themselves, in all and of one address. */
  open: number;
  openPerAddress: number;
  /** Failed attempts of one address before it has to wait; one is forgotten every `forgiveMs`. */
  failures: number;
  forgiveMs: number;
  /** From connecting to the proof. */
  handshakeMs: number;
}

export const DOOR_LIMITS: DoorLimits = {
  open: 512,
  openPerAddress: 128,
  failures: 10,
  forgiveMs: 6_000,
  handshakeMs: 20_000,
};

/** Addresses whose failures are remembered; beyond, those that failed longest ago are forgotten. */
const MAX_ADDRESSES = 10_000;

interface Visitor {
  open: number;
  /** When its last failure is forgotten: each adds `forgiveMs`. */
  clear: number;
}

/**
 * Who may stand at the coordinator's door, and for how long: decides about connections that have not proved themselves yet. Pure; times
 * are ms of a monotonic clock. All have the same time for the handshake, so one timer, for the first, serves all.
 *
 * Invariants: `#deadlines` is in the order of its times, and its keys are in `#open`; an address is in `#visitors` while it has open
 * connections, and after a failure until others push it out.
 */
export class Door<Key> {
  readonly #open = new Map<Key, string>();
  readonly #deadlines = new Map<Key, number>();
  readonly #visitors = new Map<string, Visitor>();

  constructor(readonly limits: DoorLimits = DOOR_LIMITS) {}

  /** Connections that have not proved themselves. */
  get waiting(): Key[] {
    return [...this.#open.keys()];
  }

  /** Addresses that are remembered. */
  get remembered(): number {
    return this.#visitors.size;
  }

  /** A connection was opened. @returns why it has to be closed at once, or null */
  arrive(key: Key, address: string, now: number): string | null {
    const from = origin(address);
    const { open, openPerAddress, handshakeMs } = this.limits;
    const visitor = this.#visitors.get(from) ?? { open: 0, clear: now };
    if (visitor.open >= openPerAddress)
      return `${visitor.open} connections from ${from} have not proved themselves yet (at most ${openPerAddress} may)`;
    if (this.#open.size >= open)
      return `${this.#open.size} connections have not proved themselves yet (at most ${open} may)`;
    visitor.open++;
    this.#visitors.set(from, visitor);
    this.#open.set(key, from);
    this.#deadlines.set(key, now + handshakeMs);
    return null;
  }

  /** It has proved itself, or is closed. */
  leave(key: Key, now: number): void {
    const from = this.#open.get(key);
    const visitor = from === undefined ? undefined : this.#visitors.get(from);
    if (from === undefined || !visitor) return;
    this.#open.delete(key);
    this.#deadlines.delete(key);
    visitor.open--;
    if (visitor.open === 0 && visitor.clear <= now) this.#visitors.delete(from);
  }

  /** An attempt of this address has failed. */
  failed(address: string, now: number): void {
    const from = origin(address);
    const visitor = this.#visitors.get(from) ?? { open: 0, clear: now };
    const { failures, forgiveMs } = this.limits;
    visitor.clear = Math.min(Math.max(visitor.clear, now) + forgiveMs, now + failures * forgiveMs);
    // To the end, so that the first ones are those that failed longest ago.
    this.#visitors.delete(from);
    this.#visitors.set(from, visitor);
    if (this.#visitors.size > MAX_ADDRESSES) this.#forgetOne();
  }

  /** How long this address has to wait until it may try again, ms. */
  wait(address: string, now: number): number {
    const visitor = this.#visitors.get(origin(address));
    if (!visitor) return 0;
    const { failures, forgiveMs } = this.limits;
    return Math.max(0, visitor.clear - now - (failures - 1) * forgiveMs);
  }

  /** Connections whose time for the handshake is over; each is named once, and counts until it has left. */
  overdue(now: number): Key[] {
    const late: Key[] = [];
    for (const [key, until] of this.#deadlines) {
      if (until > now) break;
      this.#deadlines.delete(key);
      late.push(key);
    }
    return late;
  }

  /** When the next connection becomes overdue; null if none will. */
  get next(): number | null {
    for (const until of this.#deadlines.values()) return until;
    return null;
  }

  #forgetOne(): void {
    for (const [from, { open }] of this.#visitors) {
      if (open > 0) continue;
      this.#visitors.delete(from);
      return;
    }
  }
}

/** Who counts as one: an IPv4 address, or the /64 network of an IPv6 address, which is what one subscriber has. */
export function origin(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}
