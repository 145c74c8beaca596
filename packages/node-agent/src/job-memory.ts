import type { CoordinatorBody, FromHost, HostReport, ShardRange, ToHost, ViewChange } from '@dmi/core';

type Spawn = Extract<CoordinatorBody, { t: 'spawn' }>;

/**
 * What the agent remembers of a host, so that a coordinator that was restarted can learn it from the agents: the job, the
 * view as it is now, the threads that are here and those that have ended here.
 */
export class HostMemory {
  #port = 0;
  #build = '';
  #view: ViewChange | null = null;
  readonly #threads = new Map<string, { movable: boolean; first: boolean }>();
  readonly #exited = new Map<string, { status: number; first: boolean }>();
  readonly #first = new Set<string>();

  constructor(private readonly spawn: Spawn) {}

  sent(message: ToHost): void {
    if (message.t === 'view') this.#view = merge(this.#view, message);
    else if (message.t === 'start') this.#first.add(`${this.spawn.member}.${message.thread}`);
  }

  heard(message: FromHost): void {
    switch (message.t) {
      case 'hello':
        this.#port = message.port;
        this.#build = message.build;
        return;
      case 'started':
        this.#threads.set(message.thread, { movable: message.movable, first: this.#first.has(message.thread) });
        return;
      case 'arrived':
        this.#threads.set(message.thread, { movable: true, first: false });
        return;
      case 'moved':
        if (message.ok) this.#threads.delete(message.thread);
        return;
      case 'exited':
        this.#threads.delete(message.thread);
        if (message.main || this.#first.has(message.thread))
          this.#exited.set(message.thread, { status: message.status, first: true });
        return;
    }
  }

  report(): HostReport {
    const { job, member, lite, spec, key, nextMember } = this.spawn;
    return {
      job,
      member,
      lite,
      spec,
      key,
      nextMember,
      port: this.#port,
      build: this.#build,
      view: this.#view,
      threads: [...this.#threads].map(([thread, { movable, first }]) => ({ thread, movable, first })),
      exited: [...this.#exited].map(([thread, { status, first }]) => ({ thread, status, first })),
    };
  }
}

/** A view with a change applied, whole. */
export function merge(before: ViewChange | null, change: ViewChange): ViewChange {
  if (change.full || before === null) return { ...change, full: true };
  const members = new Map(before.members.map(member => [member.id, member]));
  for (const member of change.members) members.set(member.id, member);
  for (const id of change.gone) members.delete(id);
  const homes: number[] = [];
  for (const [first, count, home] of [...before.shards, ...change.shards])
    for (let i = 0; i < count; i++) homes[first + i] = home;
  const shards: ShardRange[] = [];
  homes.forEach((home, shard) => {
    const last = shards.at(-1);
    if (last && last[2] === home && last[0] + last[1] === shard) last[1]++;
    else shards.push([shard, 1, home]);
  });
  return { t: 'view', epoch: change.epoch, full: true, members: [...members.values()], gone: [], shards };
}
