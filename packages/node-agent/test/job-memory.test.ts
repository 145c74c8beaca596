import type { ShardRange, ViewChange } from '@dmi/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { merge } from '../src/job-memory.js';

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
