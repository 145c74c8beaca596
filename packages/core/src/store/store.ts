import type { DmiError } from '../errors.js';

// Where coordinators of one cluster find each other, and what one of them leaves to the next. The state itself is rebuilt from the
// agents (docs/internals/restart.md); a store decides who leads, and keeps what agents do not know.

/** What a coordinator says of itself to the others. */
export interface Candidate {
  /** Where agents and clients reach it. */
  address: string;
}

/** What a coordinator that does not lead hears: who does, if that is known, and what keeps it from finding out. */
export interface Waiting {
  leader: string | null;
  problem: DmiError | null;
}

export interface Store {
  /** Resolves when this coordinator leads; until then `waiting` hears what it waits for. Rejects only when `signal` is aborted. */
  lead(candidate: Candidate, waiting: (news: Waiting) => void, signal: AbortSignal): Promise<Term>;
}

/** The time during which one coordinator leads. */
export interface Term {
  /** The same for all coordinators of the store. */
  readonly cluster: string;
  /** Later terms have higher numbers. 0: there are no others. */
  readonly number: number;
  /** What earlier terms have left. */
  readonly records: ReadonlyMap<string, unknown>;
  /** False from the moment at which another one may lead: nothing may be decided or sent then. */
  readonly held: boolean;
  /** Resolves when the term is over, with the reason; not after `resign`. */
  readonly lost: Promise<DmiError>;
  /** Keeps a record (JSON), or removes it (null). Written soon, in this order, and never once another one leads. */
  put(key: string, value: unknown): void;
  /** Resolves when everything has been written, or cannot be. */
  flushed(): Promise<void>;
  /** Leaves at once to another. */
  resign(): Promise<void>;
}
