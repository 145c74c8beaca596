import { describe, expect, it } from 'vitest';
import { Door, origin } from './door.js';

const LIMITS = { open: 3, openPerAddress: 2, failures: 3, forgiveMs: 1_000, handshakeMs: 500 };

describe('at the door', () => {
  it('may stand so many of one address, and so many in all, until they prove themselves or leave', () => {
    const door = new Door<string>(LIMITS);
    expect(door.arrive('a1', '10.0.0.1', 0)).toBeNull();
    expect(door.arrive('a2', '10.0.0.1', 0)).toBeNull();
    expect(door.arrive('a3', '::ffff:10.0.0.1', 0)).toBe(
      '2 connections from 10.0.0.1 have not proved themselves yet (at most 2 may)',
    );
    expect(door.arrive('b1', '10.0.0.2', 0)).toBeNull();
    expect(door.arrive('c1', '10.0.0.3', 0)).toBe('3 connections have not proved themselves yet (at most 3 may)');
    door.leave('a1', 0);
    door.leave('a3', 0); // was never let in
    expect(door.arrive('c1', '10.0.0.3', 0)).toBeNull();
    expect(door.waiting).toEqual(['a2', 'b1', 'c1']);
  });

  it('each has the same time, however many come and go meanwhile; who is late counts until it has left', () => {
    const door = new Door<string>(LIMITS);
    expect(door.next).toBeNull();
    door.arrive('a', '10.0.0.1', 0);
    door.arrive('b', '10.0.0.1', 100);
    expect(door.next).toBe(500);
    expect(door.overdue(499)).toEqual([]);
    expect(door.overdue(500)).toEqual(['a']);
    expect(door.overdue(500)).toEqual([]);
    expect(door.arrive('c', '10.0.0.1', 510)).not.toBeNull();
    door.leave('a', 520);
    expect(door.arrive('c', '10.0.0.1', 530)).toBeNull();
    expect(door.next).toBe(600);
    expect(door.overdue(2_000)).toEqual(['b', 'c']);
    expect(door.next).toBeNull();
  });

  it('an address that fails too often waits until one of its failures is forgotten; others do not', () => {
    const door = new Door<string>(LIMITS);
    for (let i = 0; i < 3; i++) {
      expect(door.wait('10.0.0.1', 0)).toBe(0);
      door.failed('10.0.0.1', 0);
    }
    expect(door.wait('10.0.0.1', 0)).toBe(1_000);
    expect(door.wait('10.0.0.1', 400)).toBe(600);
    expect(door.wait('10.0.0.2', 0)).toBe(0);
    expect(door.wait('10.0.0.1', 1_000)).toBe(0);
    door.failed('10.0.0.1', 1_000);
    expect(door.wait('10.0.0.1', 1_000)).toBe(1_000);
    // More failures than the limit, from connections that were open already, make nobody wait longer than that.
    for (let i = 0; i < 10; i++) door.failed('10.0.0.1', 1_000);
    expect(door.wait('10.0.0.1', 1_000)).toBe(1_000);
    expect(door.wait('10.0.0.1', 9_000)).toBe(0);
  });

  it('addresses are forgotten: at once without failures, and when there are too many that failed', () => {
    const door = new Door<number>({ ...LIMITS, open: 1_000_000 });
    for (let i = 0; i < 50; i++) door.arrive(i, `10.0.1.${i}`, 0);
    for (let i = 0; i < 50; i++) door.leave(i, 0);
    expect(door.remembered).toBe(0);
    door.arrive(1, '10.0.0.1', 0);
    for (let i = 0; i < 20_000; i++) door.failed(`10.1.${i >> 8}.${i & 255}`, 0);
    expect(door.remembered).toBe(10_000);
    // One that is open is never forgotten.
    door.arrive(2, '10.0.0.1', 0);
    expect(door.arrive(3, '10.0.0.1', 0)).not.toBeNull();
  });
});

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s counts as %s', (address, as) => {
  expect(origin(address)).toBe(as);
});
