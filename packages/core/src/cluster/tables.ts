import type { JobRow, NodeRow, ThreadRow } from '../wire/client-messages.js';
import type { Cluster } from './state.js';

// The state as the rows that people and programs look at.

export function nodeRows(cluster: Cluster): NodeRow[] {
  const rows = new Map<string, NodeRow>();
  for (const { name, state, link, info, leaveBy } of cluster.nodes.values()) {
    const { cores, memory, address, hostname, version } = info;
    const leaves = leaveBy === null ? null : Math.max(0, (leaveBy - cluster.now) / 1000);
    rows.set(name, { name, state, link, cores, memory, threads: 0, hosts: 0, address, hostname, version, leaves });
  }
  for (const job of cluster.jobs.values()) {
    for (const host of job.hosts.values()) {
      const row = host.node === null ? undefined : rows.get(host.node);
      if (!row) continue;
      row.hosts++;
      row.threads += host.threads.size;
    }
  }
  return [...rows.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

export function jobRows(cluster: Cluster, now: number): JobRow[] {
  const over = cluster.history.map((job): JobRow => {
    return { ...job, threads: 0, nodes: 0 };
  });
  const live = [...cluster.jobs.values()].map((job): JobRow => {
    const { name, kind, n } = job.spec;
    const nodes = new Set([...job.hosts.values()].map(host => host.node)).size;
    const { status, reason } = job.outcome ?? { status: null, reason: null };
    const seconds = (now - job.startedAt) / 1000;
    return {
      job: job.id,
      name,
      kind,
      state: job.state,
      n,
      threads: job.threads.size,
      nodes,
      status,
      reason,
      epoch: job.epoch,
      seconds,
    };
  });
  const expected = [...cluster.expected.values()].map((job): JobRow => {
    const { id, name, kind, n, startedAt } = job;
    const seconds = Math.max(0, (now - startedAt) / 1000);
    const nothing = { threads: 0, nodes: 0, status: null, reason: null, epoch: 0 };
    return { job: id, name, kind, state: 'recovering', n, seconds, ...nothing };
  });
  return [...over, ...expected, ...live];
}

export function threadRows(cluster: Cluster, only: string | null): ThreadRow[] {
  const rows: ThreadRow[] = [];
  for (const job of cluster.jobs.values()) {
    if (only !== null && job.id !== only) continue;
    for (const { id, member, move, moves, pinned } of job.threads.values()) {
      const node = job.hosts.get(member)?.node ?? '?';
      rows.push({ thread: id, job: job.id, node, member, state: move === null ? 'running' : 'moving', moves, pinned });
    }
  }
  return rows.sort((a, b) => a.job.localeCompare(b.job) || a.thread.localeCompare(b.thread, 'en', { numeric: true }));
}
