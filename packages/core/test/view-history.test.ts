import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { knownViews, mergeViews as merge, missedViews, viewDifference } from '../src/recovery/view-history.js';
import type { ShardRange, ViewChange } from '../src/wire/host-messages.js';

const info = (id: number) => ({
  id,
  state: 'active' as const,
  host: 'h',
  port: 1,
  cores: 1,
  pool: 1,
  hostname: 'h',
  node: 'n',
});
const change = (over: Partial<ViewChange>): ViewChange => ({
  t: 'view',
  epoch: 1,
  full: false,
  members: [],
  gone: [],
  shards: [],
  ...over,
});

/** Home of each shard that ranges speak of. */
function homes(ranges: readonly ShardRange[]): Map<number, number> {
  const map = new Map<number, number>();
  for (const [first, count, home] of ranges) for (let i = 0; i < count; i++) map.set(first + i, home);
  return map;
}

describe('the view that an agent remembers', () => {
  it('is the first whole one with every change applied', () => {
    const full = change({
      full: true,
      members: [info(0), info(1)],
      shards: [
        [0, 512, 0],
        [512, 512, 1],
      ],
    });
    const next = merge(
      full,
      change({
        epoch: 2,
        members: [info(2)],
        gone: [1],
        shards: [
          [512, 256, 2],
          [768, 256, 0],
        ],
      }),
    );
    expect(next).toMatchObject({
      epoch: 2,
      full: true,
      gone: [],
      shards: [
        [0, 512, 0],
        [512, 256, 2],
        [768, 256, 0],
      ],
    });
    expect(next.members.map(({ id }) => id)).toEqual([0, 2]);
  });

  it('knows each shard’s last home, whatever ranges came', () => {
    const range = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 24 }), fc.nat(5));
    fc.assert(
      fc.property(fc.array(fc.array(range, { maxLength: 6 }), { maxLength: 8 }), changes => {
        let view = change({ full: true, shards: [[0, 1024, 9]] });
        const expected = homes(view.shards);
        for (const [i, shards] of changes.entries()) {
          view = merge(view, change({ epoch: i + 2, shards }));
          for (const [shard, home] of homes(shards)) expected.set(shard, home);
        }
        expect(homes(view.shards)).toEqual(expected);
      }),
    );
  });
});

describe('the views that a host has missed', () => {
  const view = (epoch: number, members: number[]) =>
    change({ full: true, epoch, members: members.map(info), shards: [[0, 1024, members[0] as number]] });

  it('turn its own into the newest, one known epoch after the other, whole after a gap', () => {
    const known = [view(1, [0, 1]), view(2, [0, 1, 2]), view(5, [1, 2])];
    expect(missedViews(known, 1, 5)).toEqual([]);
    const missed = missedViews(known, 1, 1) as ViewChange[];
    expect(missed.map(({ epoch, full }) => [epoch, full])).toEqual([
      [2, false],
      [5, true],
    ]);
    expect(missed.reduce(merge, view(1, [0, 1]))).toEqual(view(5, [1, 2]));
    expect(viewDifference(view(1, [0, 1]), view(2, [1, 2]))).toMatchObject({
      gone: [0],
      members: [info(2)],
      shards: [[0, 1024, 1]],
    });
  });

  it('begin with the whole first one that has a host without any', () => {
    const known = [view(1, [0]), view(2, [0, 2]), view(3, [0, 2, 3])];
    expect(missedViews(known, 2, 0)).toEqual([known[1], viewDifference(view(2, [0, 2]), view(3, [0, 2, 3]))]);
  });

  it('are unknown when nobody remembers its own', () => {
    expect(missedViews([view(9, [0, 1])], 1, 3)).toBeNull();
  });

  it('are gathered from what several hosts were told', () => {
    const first = view(1, [0, 1]);
    const second = change({ epoch: 2, members: [info(2)], shards: [[0, 10, 2]] });
    const known = knownViews([[first], [first, second], [view(3, [0, 2])]]);
    expect(known.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(known[1]).toEqual(merge(first, second));
  });
});
