/** What `dmi run --events` writes, as far as the demo looks at it. Times are Unix seconds. */
export type RunEvent =
  | { readonly event: 'join'; readonly time: number; readonly node: string }
  | { readonly event: 'leave'; readonly time: number; readonly node: string; readonly reason: string }
  | { readonly event: 'drain-started'; readonly time: number; readonly node: string }
  | { readonly event: 'collision'; readonly time: number; readonly node: string }
  | {
      readonly event: 'threads';
      readonly time: number;
      readonly nodes: Readonly<Record<string, number>>;
      readonly total: number;
    }
  | {
      readonly event: 'moved';
      readonly time: number;
      readonly thread: string;
      readonly from: string;
      readonly to: string;
      readonly bytes: number;
      readonly seconds: number;
      readonly pauseSeconds: number;
      readonly cause: string;
    };

const NAMES: ReadonlySet<string> = new Set(['join', 'leave', 'drain-started', 'collision', 'threads', 'moved']);

/** One line of the events file; undefined for events that the demo has no use for. */
export function parseEvent(line: string): RunEvent | undefined {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const name = (parsed as { event?: unknown }).event;
  return typeof name === 'string' && NAMES.has(name) ? (parsed as RunEvent) : undefined;
}

/** One change of the cluster: a node that came or went, and the threads that moved because of it. */
export interface Change {
  readonly kind: 'join' | 'leave';
  readonly node: string;
  readonly threads: number;
  readonly bytes: number;
  /** From the change until the last thread had moved. */
  readonly seconds: number;
  readonly collisions: number;
}

export interface Totals {
  readonly joins: number;
  readonly leaves: number;
  readonly threadsMoved: number;
  readonly bytesMoved: number;
  /** Sum over the moves; several may go on at once. */
  readonly moveSeconds: number;
  readonly collisions: number;
}

/** Sorts the events of one run by the change that caused them. Nodes named in `initial` were there from the start. */
export function changes(events: readonly RunEvent[], initial: ReadonlySet<string>): Change[] {
  const found: Change[] = [];
  for (const start of events) {
    if (start.event === 'join' && !initial.has(start.node)) {
      const moved = events.filter(e => e.event === 'moved' && e.to === start.node && e.cause === 'join');
      found.push(change('join', start, moved, events));
    } else if (start.event === 'drain-started') {
      const moved = events.filter(e => e.event === 'moved' && e.from === start.node && e.cause === 'drain');
      found.push(change('leave', start, moved, events));
    }
  }
  return found;
}

function change(
  kind: Change['kind'],
  start: { readonly node: string; readonly time: number },
  moved: readonly RunEvent[],
  events: readonly RunEvent[],
): Change {
  const moves = moved.filter(e => e.event === 'moved').filter(e => e.time >= start.time);
  const last = Math.max(start.time, ...moves.map(m => m.time));
  const targets = new Set(moves.map(m => m.to));
  const collisions = events.filter(
    e => e.event === 'collision' && targets.has(e.node) && e.time >= start.time && e.time <= last,
  ).length;
  return {
    kind,
    node: start.node,
    threads: moves.length,
    bytes: moves.reduce((sum, m) => sum + m.bytes, 0),
    seconds: last - start.time,
    collisions,
  };
}

export function totals(events: readonly RunEvent[], initial: ReadonlySet<string>): Totals {
  const moves = events.filter(e => e.event === 'moved');
  return {
    joins: events.filter(e => e.event === 'join' && !initial.has(e.node)).length,
    leaves: events.filter(e => e.event === 'leave').length,
    threadsMoved: moves.length,
    bytesMoved: moves.reduce((sum, m) => sum + m.bytes, 0),
    moveSeconds: moves.reduce((sum, m) => sum + m.seconds, 0),
    collisions: events.filter(e => e.event === 'collision').length,
  };
}
