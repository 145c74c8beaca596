import { jobOfThread } from '../cluster/requests.js';
import type { Cluster } from '../cluster/state.js';
import { threadRows } from '../cluster/tables.js';
import { DmiError } from '../errors.js';
import { resolvePrefix } from '../ids.js';
import type { CoordinatorBody } from '../wire/agent-messages.js';
import type { StackAnswer, ThreadRow } from '../wire/client-messages.js';
import type { FromHost } from '../wire/host-messages.js';

type Report = Extract<FromHost, { t: 'report' }>;

interface Query {
  waiting: number;
  reports: [member: number, report: Report][];
  finish: () => void;
}

const PATIENCE_MS = 2_000;
const STACK_PATIENCE_MS = 20_000; // names and lines are looked up in the program's files
const STACK_TRIES = 3; // the thread may move meanwhile

/** Asks the hosts for what only they know: processor time and size of threads. */
export class Reports {
  readonly #queries = new Map<string, Query>();
  #next = 1;

  constructor(
    private readonly cluster: () => Cluster,
    private readonly send: (node: string, body: CoordinatorBody) => void,
  ) {}

  accept(member: number, report: Report): void {
    const query = this.#queries.get(report.query);
    if (!query) return;
    query.reports.push([member, report]);
    if (query.reports.length >= query.waiting) query.finish();
  }

  /** The rows of `dmi ps`, with what the hosts add; hosts that do not answer in time leave theirs without. */
  async threads(job: string | null): Promise<ThreadRow[]> {
    const reports = await this.ask(job);
    const rows = threadRows(this.cluster(), job);
    // Thread ids are unique in a job only, so a report is matched through its job's threads.
    const byKey = new Map(rows.map(row => [`${row.job}/${row.thread}`, row]));
    for (const [owner, , report] of reports) {
      for (const { thread, cpuSeconds, bytes, pinned, state } of report.threads) {
        const row = byKey.get(`${owner}/${thread}`);
        if (row)
          Object.assign(row, {
            cpuSeconds,
            bytes,
            pinned: pinned ?? null,
            state: row.state === 'moving' ? row.state : state,
          });
      }
    }
    return rows;
  }

  /** Where a thread is in its program. @param wantedJob its job; null: the only one that has a thread of that name */
  async stack(wantedJob: string | null, wanted: string): Promise<StackAnswer> {
    let why = 'its host does not answer';
    for (let tries = 0; tries < STACK_TRIES; tries++) {
      const cluster = this.cluster();
      const job =
        wantedJob === null
          ? jobOfThread({ cluster }, wanted)
          : cluster.jobs.get(resolvePrefix('job', wantedJob, cluster.jobs.keys()));
      const thread = job?.threads.get(resolvePrefix('thread', wanted, job.threads.keys()));
      const node = thread && job?.hosts.get(thread.member)?.node;
      if (!job || !thread || !node)
        throw new DmiError('not-found', `there is no thread "${wanted}"`, { object: wanted, hint: 'see: dmi ps' });
      const [answer] = await this.#query(job.id, [{ node, member: thread.member }], STACK_PATIENCE_MS, thread.id);
      const stack = answer?.[1].stack;
      if (stack?.text != null) return { job: job.id, thread: thread.id, node, text: stack.text };
      why = stack?.why ?? why;
      if (!stack) break;
    }
    throw new DmiError('busy', `thread ${wanted} cannot be looked at: ${why}`, { object: wanted, hint: 'try again' });
  }

  /** The reports of all hosts that answer in time, each with its job and member. */
  async ask(only: string | null): Promise<[job: string, member: number, report: Report][]> {
    const jobs = [...this.cluster().jobs.values()].filter(job => only === null || job.id === only);
    const answers = await Promise.all(
      jobs.map(async job => {
        const hosts = [...job.hosts.values()].filter(
          host => host.node !== null && host.state !== 'spawning' && host.state !== 'stopping',
        );
        if (hosts.length === 0) return [];
        const reports = await this.#query(
          job.id,
          hosts.flatMap(({ node, member }) => (node === null ? [] : [{ node, member }])),
          PATIENCE_MS,
        );
        return reports.map(([member, report]): [string, number, Report] => [job.id, member, report]);
      }),
    );
    return answers.flat();
  }

  /** What hosts of a job answer in time. */
  #query(
    job: string,
    hosts: readonly { node: string; member: number }[],
    patience: number,
    stack?: string,
  ): Promise<Query['reports']> {
    const id = `q${this.#next++}`;
    return new Promise(resolve => {
      const query: Query = {
        waiting: hosts.length,
        reports: [],
        finish: () => {
          clearTimeout(timer);
          this.#queries.delete(id);
          resolve(query.reports);
        },
      };
      const timer = setTimeout(() => query.finish(), patience);
      this.#queries.set(id, query);
      const message = { t: 'query' as const, query: id, ...(stack === undefined ? {} : { stack }) };
      for (const { node, member } of hosts) this.send(node, { t: 'to-host', job, member, message });
    });
  }
}
