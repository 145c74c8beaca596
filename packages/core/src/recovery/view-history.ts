import type { MemberInfo, ShardRange, ViewChange } from '../wire/host-messages.js';

// Views as agents remember them, so that a coordinator that was restarted can tell every host exactly the changes it missed.

/** Changes that are remembered one by one; a host that missed more cannot be brought up to date. */
export const REMEMBERED = 256;

/** A view with a change applied, whole. */
export function mergeViews(before: ViewChange | null, change: ViewChange): ViewChange {
  if (change.full || before === null) return { ...change, full: true };
  const members = new Map(before.members.map(member => [member.id, member]));
  for (const member of change.members) members.set(member.id, member);
  for (const id of change.gone) members.delete(id);
  const homes = homesOf(before.shards);
  for (const [first, count, home] of change.shards) for (let i = 0; i < count; i++) homes[first + i] = home;
  return {
    t: 'view',
    epoch: change.epoch,
    full: true,
    members: [...members.values()],
    gone: [],
    shards: rangesOf(homes, () => true),
  };
}

/** What turns one whole view into a later one: the inverse of `mergeViews`. */
export function viewDifference(before: ViewChange, after: ViewChange): ViewChange {
  const old = new Map(before.members.map(member => [member.id, member]));
  const now = new Set(after.members.map(member => member.id));
  const homes = homesOf(before.shards);
  return {
    t: 'view',
    epoch: after.epoch,
    full: false,
    members: after.members.filter(member => !same(old.get(member.id), member)),
    gone: before.members.filter(member => !now.has(member.id)).map(member => member.id),
    shards: rangesOf(homesOf(after.shards), (shard, home) => homes[shard] !== home),
  };
}

function same(a: MemberInfo | undefined, b: MemberInfo): boolean {
  return a !== undefined && a.state === b.state && a.host === b.host && a.port === b.port;
}

function homesOf(ranges: readonly ShardRange[]): number[] {
  const homes: number[] = [];
  for (const [first, count, home] of ranges) for (let i = 0; i < count; i++) homes[first + i] = home;
  return homes;
}

function rangesOf(homes: readonly number[], wanted: (shard: number, home: number) => boolean): ShardRange[] {
  const ranges: ShardRange[] = [];
  homes.forEach((home, shard) => {
    if (!wanted(shard, home)) return;
    const last = ranges.at(-1);
    if (last && last[2] === home && last[0] + last[1] === shard) last[1]++;
    else ranges.push([shard, 1, home]);
  });
  return ranges;
}

/** The views that one host was told: the first whole, then the changes (or whole ones, where epochs are left out). */
export class ViewHistory {
  #changes: ViewChange[] = [];

  record(change: ViewChange): void {
    this.#changes.push(change);
    if (this.#changes.length <= REMEMBERED) return;
    const [first, second, ...rest] = this.#changes as [ViewChange, ViewChange, ...ViewChange[]];
    this.#changes = [mergeViews(first, second), ...rest];
  }

  get changes(): readonly ViewChange[] {
    return this.#changes;
  }
}

/** Every whole view that some host was told, in the order of their epochs. */
export function knownViews(histories: Iterable<readonly ViewChange[]>): ViewChange[] {
  const known = new Map<number, ViewChange>();
  for (const history of histories) {
    let whole: ViewChange | null = null;
    for (const change of history) {
      whole = known.get(change.epoch) ?? mergeViews(whole, change);
      known.set(change.epoch, whole);
    }
  }
  return [...known.values()].sort((a, b) => a.epoch - b.epoch);
}

/**
 * What a host that has the view of epoch `has` (0: none yet) must be told to have the newest. Views that nobody was told are
 * left out: nobody can have acted on them. A change builds on the epoch before it, so after a gap the view comes whole. Null: what comes after its view is not known any more.
 */
export function missedViews(known: readonly ViewChange[], member: number, has: number): ViewChange[] | null {
  const missed: ViewChange[] = [];
  let at = has === 0 ? null : (known.find(view => view.epoch === has) ?? null);
  if (has !== 0 && at === null) return null;
  for (const view of known) {
    if (view.epoch <= has || !view.members.some(({ id }) => id === member)) continue;
    missed.push(at?.epoch === view.epoch - 1 ? viewDifference(at, view) : view);
    at = view;
  }
  return missed;
}
