import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../src/client/client.js';
import { DmiError } from '../src/errors.js';
import { Coordinator } from '../src/server/coordinator.js';
import type { Store, Term } from '../src/store/store.js';
import { findLeader, parseAddresses, type Terms } from '../src/wire/find-leader.js';

const images = mkdtempSync(join(tmpdir(), 'dmi-leader-'));
const open: Coordinator[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(one => one.close()));
  rmSync(images, { recursive: true, force: true });
});

async function start(store: Store): Promise<Coordinator> {
  const coordinator = await Coordinator.start({ listen: '127.0.0.1:0', token: 'secret', imageDir: images, store });
  open.push(coordinator);
  return coordinator;
}

/** Waits for ever; `leader` leads. */
function standby(leader: string | null): Promise<Coordinator> {
  return start({
    lead: (_candidate, waiting, signal) => {
      waiting({ leader, problem: null });
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
}

/** Leads the cluster "c" until `end`. Then it does not lead again. */
async function leader(number: number) {
  const state = { held: true, end: (_why: DmiError) => {} };
  const lost = new Promise<DmiError>(resolve => {
    state.end = resolve;
  });
  const term: Term = {
    cluster: 'c',
    number,
    records: new Map(),
    get held() {
      return state.held;
    },
    lost,
    put: () => {},
    flushed: async () => {},
    resign: async () => {},
  };
  let terms = 0;
  const coordinator = await start({
    lead: (_candidate, waiting, signal) => {
      if (terms++ === 0) return Promise.resolve(term);
      waiting({ leader: 'ws://127.0.0.1:1', problem: null });
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  return { coordinator, state };
}

async function find(addresses: string, terms: Terms = new Map(), token = 'secret'): Promise<string> {
  const found = await findLeader({ addresses, role: 'client', token, onBad: () => {}, terms });
  found.peer.socket.terminate();
  return found.address;
}

describe('the leader', () => {
  it('is found among several addresses, and by one that a standby names', async () => {
    const { coordinator } = await leader(3);
    const waits = await standby(coordinator.address);
    const gone = 'ws://127.0.0.1:1';
    for (const addresses of [
      `${gone},${coordinator.address}`,
      `${waits.address},${coordinator.address}`,
      `${gone},${waits.address}`,
      waits.address,
    ])
      expect(await find(addresses)).toBe(coordinator.address);
  });

  it('of an earlier term is turned away from by whoever has met a later one', async () => {
    const [old, now] = [await leader(3), await leader(5)];
    const terms: Terms = new Map();
    expect(await find(old.coordinator.address, terms)).toBe(old.coordinator.address);
    expect(await find(now.coordinator.address, terms)).toBe(now.coordinator.address);
    expect(terms).toEqual(new Map([['c', 5]]));
    await expect(find(old.coordinator.address, terms)).rejects.toMatchObject({ code: 'standby' });
    expect(await find(`${old.coordinator.address},${now.coordinator.address}`, terms)).toBe(now.coordinator.address);
  });

  it('is nobody while there is none: said by the standby, however often it is asked', async () => {
    const waits = await standby(null);
    for (let i = 0; i < 20; i++)
      await expect(find(waits.address)).rejects.toMatchObject({
        code: 'standby',
        message: 'this coordinator stands by: nobody leads at the moment',
      });
  });

  it('is not told to whoever does not have the token', async () => {
    const waits = await standby('ws://10.1.2.3:7070');
    const error = await find(waits.address, new Map(), 'wrong').catch(thrown => thrown);
    expect(error).toMatchObject({ code: 'auth' });
    expect(JSON.stringify(error)).not.toContain('10.1.2.3');
  });

  it('that may have been succeeded answers nothing more, lets nobody in, and then says who leads', async () => {
    const { coordinator, state } = await leader(3);
    const client = await Client.connect({ address: coordinator.address, token: 'secret', tls: {} });
    expect(await client.nodes()).toEqual([]);
    state.held = false;
    const asked = client.nodes();
    await expect(find(coordinator.address)).rejects.toMatchObject({ code: 'standby' });
    state.end(new DmiError('store', 'the lease is over'));
    await expect(asked).rejects.toMatchObject({ code: 'unreachable' });
    expect((await client.closed)?.message).toContain('this coordinator leads no more');
    expect(coordinator.leader).toBe('ws://127.0.0.1:1');
  });
});

describe('addresses', () => {
  it('are separated by commas; each has to be one', () => {
    expect(parseAddresses('ws://a:1, b:2,ws://a:1')).toEqual(['ws://a:1', 'b:2']);
    expect(() => parseAddresses('ws://a:1,,')).toThrow('"" is not a coordinator\'s address');
  });
});
