import { type DmiError, openStore, type Term, type Waiting } from '@dmi/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Certificates } from './cluster/certificates.js';
import { ETCD, Etcd } from './cluster/etcd.js';
import { pause, until } from './cluster/processes.js';

// What the coordinator's store promises, with a real etcd: one leader at a time, and no write of one that leads no more.

if (!ETCD) process.stderr.write('store.test.ts is skipped: there is no etcd (apt-get install etcd-server)\n');

let etcd: Etcd;
beforeAll(async () => {
  if (ETCD) etcd = await Etcd.start();
});
afterAll(async () => {
  await etcd?.remove();
});

const never = new AbortController().signal;

/** A coordinator that wants to lead in this prefix. */
function candidate(prefix: string, name: string, leaseSeconds = 10) {
  const store = openStore(`etcd://${etcd.host}/${prefix}`, { leaseSeconds });
  const heard: Waiting[] = [];
  const stop = new AbortController();
  const term: Promise<Term> = store.lead({ address: `ws://${name}` }, news => heard.push(news), stop.signal);
  return { term, heard, stop };
}

describe.skipIf(!ETCD)('a store in etcd', () => {
  it('has one leader, who finds what the one before has left; the next is there as soon as it resigns', async () => {
    const a = candidate('resign', 'a');
    const first = await a.term;
    const b = candidate('resign', 'b');
    await until('b hears of a', () => b.heard.length > 0);
    expect(b.heard).toEqual([{ leader: 'ws://a', problem: null }]);
    first.put('job/1', { n: 1 });
    first.put('job/2', { n: 2 });
    first.put('job/1', { n: 3 });
    first.put('job/2', null);
    for (let i = 0; i < 200; i++) first.put(`many/${i}`, i);
    await first.resign();
    expect(first.held).toBe(false);
    const second = await b.term;
    expect(second.number).toBeGreaterThan(first.number);
    expect(second.cluster).toBe(first.cluster);
    expect(second.records.size).toBe(201);
    expect(second.records.get('job/1')).toEqual({ n: 3 });
    expect(second.records.get('many/199')).toBe(199);
    await second.resign();
  });

  it('takes no write of a leader that was succeeded without noticing', async () => {
    const first = await candidate('deposed', 'a').term;
    first.put('before', true);
    await first.flushed();
    const b = candidate('deposed', 'b');
    await until('b hears of a', () => b.heard.length > 0);
    await etcd.delete('/deposed/leader');
    const second = await b.term;
    expect(first.held).toBe(true); // by its own clock
    first.put('after', true);
    first.put('before', null);
    await first.flushed();
    const why: DmiError = await first.lost;
    expect(why.message).toBe('another coordinator leads, or the leader’s key was removed');
    expect(first.held).toBe(false);
    expect(await etcd.read('/deposed/records')).toEqual({ before: true });
    second.put('after', 'second');
    await second.flushed();
    expect(await etcd.read('/deposed/records')).toEqual({ before: true, after: 'second' });
    await second.resign();
  });

  it('is given up only for a lease that is over by the leader’s own clock, before another can have it', async () => {
    const first = await candidate('expired', 'a', 2).term;
    const b = candidate('expired', 'b', 2);
    await until('b hears of a', () => b.heard.length > 0);
    // This process stands still for longer than the lease, timers included.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
    expect(first.held).toBe(false);
    first.put('late', true);
    const second = await b.term;
    await first.flushed();
    expect(await etcd.read('/expired/records')).toEqual({});
    await second.resign();
  });

  it('keeps its leader, and all it has to write, while etcd is restarted within the lease', async () => {
    const term = await candidate('away', 'a', 20).term;
    await etcd.kill();
    for (let i = 0; i < 100; i++) term.put(`r/${i}`, i);
    await term.flushed();
    await pause(200);
    expect(term.held).toBe(true);
    await etcd.start();
    for (let tries = 300; Object.keys(await etcd.read('/away/records')).length < 100; tries--) {
      if (tries === 0) throw new Error('not everything was written');
      await pause(100);
    }
    expect(term.held).toBe(true);
    await term.resign();
  });

  it('may ask for a user and a password', async () => {
    await etcd.enableAuth('root', 'secret');
    try {
      const where = `etcd://${etcd.host}/auth`;
      const heard: Waiting[] = [];
      const stop = new AbortController();
      const none = openStore(where, { leaseSeconds: 10 }).lead(
        { address: 'ws://a' },
        news => heard.push(news),
        stop.signal,
      );
      await until('it is refused', () => heard.length > 0);
      expect(heard[0]?.problem).toMatchObject({ code: 'store', hint: expect.stringContaining('--store-user') });
      stop.abort();
      await expect(none).rejects.toThrow();
      const user = { name: 'root', password: 'secret' };
      const term = await openStore(where, { leaseSeconds: 10, user }).lead({ address: 'ws://a' }, () => {}, never);
      term.put('x', 1);
      await term.resign();
    } finally {
      await etcd.disableAuth('root', 'secret');
    }
    expect(await etcd.read('/auth/records')).toEqual({ x: 1 });
  });

  it('may be reached over TLS, with certificates on both sides', async () => {
    const certificates = new Certificates();
    const ca = certificates.ca('ca');
    const secure = await Etcd.start({ server: certificates.signed('etcd', ca, 'IP:127.0.0.1'), ca });
    try {
      const ours = certificates.signed('coordinator', ca, 'IP:127.0.0.1');
      const open = (tls: { ca: string; cert?: string; key?: string }) =>
        openStore(`etcds://${secure.host}/tls`, { leaseSeconds: 10, tls });
      const term = await open({ ca: ca.cert, ...ours }).lead({ address: 'wss://a' }, () => {}, never);
      term.put('x', 1);
      await term.resign();
      for (const tls of [{ ca: ca.cert }, { ca: certificates.ca('other').cert, ...ours }]) {
        const stop = new AbortController();
        const heard: Waiting[] = [];
        const refused = open(tls).lead({ address: 'wss://b' }, news => heard.push(news), stop.signal);
        await until('it does not get in', () => heard.length > 0);
        expect(heard[0]?.problem).toMatchObject({ code: 'unreachable', hint: expect.stringContaining('--store-ca') });
        stop.abort();
        await expect(refused).rejects.toThrow();
      }
      const again = await open({ ca: ca.cert, ...ours }).lead({ address: 'wss://a' }, () => {}, never);
      expect(again.records).toEqual(new Map([['x', 1]]));
      await again.resign();
    } finally {
      await secure.remove();
      certificates.remove();
    }
  });
});

describe('a store that cannot be', () => {
  it.each([
    'etcd://',
    'etcd:///prefix',
    'etcd://a b',
    'etcd://host:port/x',
    'etcd://u@host/x',
    'redis://host',
    './dir',
  ])('%s is refused with how to write it', where => {
    expect(() => openStore(where, { leaseSeconds: 10 })).toThrow(`"${where}" is not a store`);
  });
});
