import { readFileSync } from 'node:fs';
import { DmiError } from '@dmi/core';
import * as v from 'valibot';
import { readJson } from '../../json-file.js';

// What happens to a simulated job. Times are seconds from its start, work is core-seconds.

const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(63));
const node = v.strictObject({ name, cores: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4096)) });

const happening = v.union(
  [
    v.strictObject({ at: amount, join: node }),
    /** The node is gone `notice` seconds later, with whatever is still on it. */
    v.strictObject({ at: amount, reclaim: name, notice: amount }),
    /** From now on each iteration of the thread takes so much. */
    v.strictObject({ at: amount, thread: v.pipe(v.number(), v.integer(), v.minValue(0)), work: amount }),
  ],
  'neither {at, join: {name, cores}} nor {at, reclaim, notice} nor {at, thread, work}',
);

export const trace = v.strictObject({
  nodes: v.pipe(v.array(node), v.minLength(1, 'at least one node'), v.maxLength(1024)),
  /** Work of each iteration, and what a move transfers. */
  threads: v.pipe(
    v.array(v.strictObject({ work: amount, bytes: v.optional(amount, 1 << 20) })),
    v.minLength(1, 'at least one thread'),
    v.maxLength(4096),
  ),
  /** After each, all threads wait for each other. */
  iterations: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000)),
  /** Bytes that two threads exchange in an iteration, over the network when they are on different nodes. */
  sharing: v.optional(v.pipe(v.array(v.tuple([v.number(), v.number(), amount])), v.maxLength(65_536)), []),
  /** Bytes per second of each node's network. */
  network: v.optional(v.pipe(v.number(), v.finite(), v.gtValue(0)), 1e9),
  events: v.optional(v.pipe(v.array(happening), v.maxLength(65_536)), []),
});

export type Trace = v.InferOutput<typeof trace>;
export type Happening = Trace['events'][number];

/** @throws DmiError `usage`, naming file and member */
export function readTrace(file: string): Trace {
  const read = readJson(trace, file, 'trace') as Trace;
  const bad = (path: string, what: string) =>
    new DmiError('usage', `trace in ${file}: ${path}: ${what}`, { object: file, hint: 'see docs/balancing.md' });
  const names = new Set<string>();
  for (const [i, { name }] of read.nodes.entries()) {
    if (names.has(name)) throw bad(`nodes.${i}.name`, `there is a node ${name} already`);
    names.add(name);
  }
  for (const [i, event] of read.events.entries()) {
    if ('join' in event) names.add(event.join.name);
    if ('thread' in event && event.thread >= read.threads.length)
      throw bad(`events.${i}.thread`, `there are ${read.threads.length} threads, counted from 0`);
  }
  for (const [i, event] of read.events.entries())
    if ('reclaim' in event && !names.has(event.reclaim))
      throw bad(`events.${i}.reclaim`, `there is no node ${event.reclaim}`);
  return read;
}

const RECORDED = v.looseObject({ time: v.number(), event: v.string() });
const JOINED = v.looseObject({ node: name, cores: v.pipe(v.number(), v.integer(), v.minValue(1)) });
const LEAVING = v.looseObject({ node: name });

/** A node that is lost without a word. */
const SUDDEN = 0;
/** A node that was asked to leave has taken as long as it needed. */
const UNHURRIED = 1e6;

/**
 * Joins and leaves of a run, as `dmi run --events` wrote them: nodes of the first second are there from the start.
 * @throws DmiError `usage`, naming file and line
 */
export function readRecorded(file: string): Pick<Trace, 'nodes' | 'events'> {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line.trim() !== '');
  } catch (cause) {
    throw new DmiError('usage', `cannot read ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  const nodes = new Map<string, number>();
  const events: Happening[] = [];
  let start: number | null = null;
  for (const [i, line] of lines.entries()) {
    try {
      const event = v.parse(RECORDED, JSON.parse(line));
      start ??= event.time;
      const at = Math.max(0, event.time - start);
      if (event.event === 'join') {
        const { node, cores } = v.parse(JOINED, event);
        if (at < 1) nodes.set(node, cores);
        else events.push({ at, join: { name: node, cores } });
      } else if (event.event === 'drain-started') {
        events.push({ at, reclaim: v.parse(LEAVING, event).node, notice: UNHURRIED });
      } else if (event.event === 'leave' && event.reason === 'dead') {
        events.push({ at, reclaim: v.parse(LEAVING, event).node, notice: SUDDEN });
      }
    } catch (cause) {
      const what = v.isValiError(cause)
        ? `${v.getDotPath(cause.issues[0]) ?? 'line'}: ${cause.message}`
        : String(cause);
      throw new DmiError('usage', `${file}:${i + 1}: not an event of a run: ${what}`, {
        hint: 'a file that dmi run --events wrote is wanted',
        cause,
      });
    }
  }
  if (nodes.size === 0) throw new DmiError('usage', `${file}: no node has joined in it`, { object: file });
  return { nodes: [...nodes].map(([name, cores]) => ({ name, cores })), events };
}
