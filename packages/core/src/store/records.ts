import * as v from 'valibot';
import { jobOutcome } from '../wire/agent-messages.js';
import * as f from '../wire/fields.js';

// What a coordinator leaves to the next in the store: only what agents do not know, or may no longer. No token, no keys of jobs, no arguments,
// no environment. One record per thing, so that a change costs as much as it is large, however large the cluster.

/** A job that runs: so that its client is not told that there is none before its nodes have come back. */
export const jobRecord = v.object({
  name: f.text,
  kind: v.picklist(['main', 'spmd']),
  n: f.count,
  startedAt: f.count,
});
export const outcomeRecord = v.object({ ...jobOutcome.entries, endedAt: f.count });
/** A node that is being drained; by when (ms since 1970), if there is a deadline. */
export const drainRecord = v.object({ leaveBy: v.nullable(v.number()) });

export type JobRecord = v.InferOutput<typeof jobRecord>;
export type OutcomeRecord = v.InferOutput<typeof outcomeRecord>;
export type DrainRecord = v.InferOutput<typeof drainRecord>;

/** Everything that earlier terms have left. */
export interface Legacy {
  jobs: Map<string, JobRecord>;
  /** Jobs that are over, in the order of their ends. */
  outcomes: OutcomeRecord[];
  drains: Map<string, DrainRecord>;
  /** By job: threads that `dmi move` has put where they are. */
  kept: Map<string, Set<string>>;
}

export const jobKey = (job: string) => `job/${job}`;
export const outcomeKey = (job: string) => `outcome/${job}`;
export const drainKey = (node: string) => `drain/${node}`;
export const keptKey = (job: string, thread: string) => `kept/${job}/${thread}`;

/** @returns also the keys of records that are none of ours, or of another version */
export function readRecords(records: ReadonlyMap<string, unknown>): { legacy: Legacy; unknown: string[] } {
  const legacy: Legacy = { jobs: new Map(), outcomes: [], drains: new Map(), kept: new Map() };
  const unknown = [...records].filter(([key, value]) => !readRecord(legacy, key, value)).map(([key]) => key);
  legacy.outcomes.sort((a, b) => a.endedAt - b.endedAt);
  return { legacy, unknown };
}

function readRecord(legacy: Legacy, key: string, value: unknown): boolean {
  const [kind, id = '', thread = '', ...more] = key.split('/');
  if (more.length > 0 || !v.is(f.id, id)) return false;
  if (kind === 'job' && v.is(jobRecord, value)) legacy.jobs.set(id, value);
  else if (kind === 'outcome' && v.is(outcomeRecord, value)) legacy.outcomes.push(value);
  else if (kind === 'drain' && v.is(drainRecord, value)) legacy.drains.set(id, value);
  else if (kind === 'kept' && v.is(f.thread, thread))
    legacy.kept.set(id, (legacy.kept.get(id) ?? new Set()).add(thread));
  else return false;
  return true;
}
