import type { ShardRange } from '../wire/host-messages.js';

/** Home of each directory shard: `homes[shard]` is a member id, or -1 while there is no member to home it. */
export type ShardHomes = Int32Array;

export function noHomes(shards: number): ShardHomes {
  return new Int32Array(shards).fill(-1);
}

/**
 * Homes for a new set of members, moving as few shards as possible: every member ends with floor or ceil of
 * shards/members, and a shard moves only off a member that is gone or has more than its share.
 * Deterministic: depends on nothing but the arguments.
 *
 * @param members may home shards, in any order
 */
export function assignShards(homes: ShardHomes, members: readonly number[]): ShardHomes {
  const next = homes.slice();
  if (members.length === 0) return next.fill(-1);
  const sorted = [...members].sort((a, b) => a - b);
  const held = new Map<number, number[]>(sorted.map(member => [member, []]));
  const loose: number[] = [];
  for (let shard = 0; shard < next.length; shard++) (held.get(next[shard] ?? -1) ?? loose).push(shard);

  // The members that hold most keep the larger shares: fewest moves.
  const byHeld = [...sorted].sort((a, b) => (held.get(b)?.length ?? 0) - (held.get(a)?.length ?? 0) || a - b);
  const floor = Math.floor(next.length / sorted.length);
  let larger = next.length % sorted.length;
  const room: [member: number, free: number][] = [];
  for (const member of byHeld) {
    const share = floor + (larger-- > 0 ? 1 : 0);
    const mine = held.get(member) ?? [];
    if (mine.length > share) loose.push(...mine.splice(share));
    if (mine.length < share) room.push([member, share - mine.length]);
  }
  loose.sort((a, b) => a - b);
  let at = 0;
  for (const [member, free] of room) for (let i = 0; i < free; i++) next[loose[at++] as number] = member;
  return next;
}

/** The shards whose home differs, as runs; `before` null gives all that have a home. */
export function shardRanges(before: ShardHomes | null, after: ShardHomes): ShardRange[] {
  const ranges: ShardRange[] = [];
  let last: ShardRange | null = null;
  for (let shard = 0; shard < after.length; shard++) {
    const home = after[shard] as number;
    if (home < 0 || before?.[shard] === home) {
      last = null;
    } else if (last && last[2] === home) {
      last[1]++;
    } else {
      last = [shard, 1, home];
      ranges.push(last);
    }
  }
  return ranges;
}

/** The homes that result from applying ranges: the inverse of `shardRanges`. */
export function applyRanges(homes: ShardHomes, ranges: readonly ShardRange[]): ShardHomes {
  const next = homes.slice();
  for (const [first, count, home] of ranges) next.fill(home, first, first + count);
  return next;
}
