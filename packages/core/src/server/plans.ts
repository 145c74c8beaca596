import { type Loads, noLoads, noteLoads } from '../cluster/loads.js';
import { measuredAt } from '../cluster/measure.js';
import { planReport } from '../cluster/plan-report.js';
import type { Cluster, Job } from '../cluster/state.js';
import { DmiError } from '../errors.js';
import { resolvePrefix } from '../ids.js';
import type { PolicyName } from '../plan/options.js';
import type { PlanRow } from '../wire/client-messages.js';
import type { Reports } from './reports.js';

/** How long a job is watched that is not measured anyway, ms. */
const WATCH_MS = 1_000;

/** What would be moved, for one job or all that run. @throws DmiError `not-found`, `ambiguous`, `busy` */
export async function plans(
  cluster: () => Cluster,
  reports: Reports,
  wanted: string | null,
  policy: PolicyName | null,
): Promise<PlanRow[]> {
  const ids = wanted === null ? [...cluster().jobs.keys()] : [resolvePrefix('job', wanted, cluster().jobs.keys())];
  const rows = await Promise.all(
    ids.map(async id => {
      const job = cluster().jobs.get(id);
      if (job?.state !== 'running') {
        if (wanted === null) return [];
        throw new DmiError('busy', `job ${id} is ${job?.state ?? 'over'}: there is nothing to plan`, {
          object: id,
          hint: 'a plan can be made while it runs; see: dmi jobs',
        });
      }
      const loads = await watched(job, reports);
      // It may have ended while it was watched.
      return cluster().jobs.get(id) === job ? [planReport(cluster(), job, policy ?? job.spec.balance, loads)] : [];
    }),
  );
  return rows.flat();
}

async function watched(job: Job, reports: Reports): Promise<Loads> {
  if ([...job.loads.threads.values()].some(({ cpu }) => cpu !== null)) return job.loads;
  const loads = noLoads();
  const note = async () => {
    for (const [, , report] of await reports.ask(job.id))
      noteLoads(
        loads,
        report.threads,
        thread => job.threads.get(thread)?.member,
        measuredAt(report, performance.now()),
      );
  };
  await note();
  await new Promise(resolve => setTimeout(resolve, WATCH_MS));
  await note();
  return loads;
}
