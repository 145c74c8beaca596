import type { Cluster } from '../cluster/state.js';
import { threadRows } from '../cluster/tables.js';
import type { CoordinatorBody } from '../wire/agent-messages.js';
import type { ThreadRow } from '../wire/client-messages.js';
import type { FromHost } from '../wire/host-messages.js';

type Report = Extract<FromHost, { t: 'report' }>;

interface Query {
  waiting: number;
  reports: [member: number, report: Report][];
  finish: () => void;
}

const PATIENCE_MS = 2_000;

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

  /** The reports of all hosts that answer in time, each with its job and member. */
  async ask(only: string | null): Promise<[job: string, member: number, report: Report][]> {
    const jobs = [...this.cluster().jobs.values()].filter(job => only === null || job.id === only);
    const answers = await Promise.all(
      jobs.map(async job => {
        const hosts = [...job.hosts.values()].filter(
          host => host.node !== null && host.state !== 'spawning' && host.state !== 'stopping',
        );
        if (hosts.length === 0) return [];
        const id = `q${this.#next++}`;
        const reports = await new Promise<Query['reports']>(resolve => {
          const query: Query = {
            waiting: hosts.length,
            reports: [],
            finish: () => {
              clearTimeout(timer);
              this.#queries.delete(id);
              resolve(query.reports);
            },
          };
          const timer = setTimeout(() => query.finish(), PATIENCE_MS);
          this.#queries.set(id, query);
          for (const { node, member } of hosts) {
            if (node !== null)
              this.send(node, { t: 'to-host', job: job.id, member, message: { t: 'query', query: id } });
          }
        });
        return reports.map(([member, report]): [string, number, Report] => [job.id, member, report]);
      }),
    );
    return answers.flat();
  }
}
