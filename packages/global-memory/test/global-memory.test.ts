import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GlobalMemory, join, type ViewChange } from '../src/index.js';
import { type TwoMembers, twoMembers } from './two-members.js';

let pair: TwoMembers;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe.each(['active', 'lite'] as const)('two processes, the other one %s', state => {
  beforeEach(async () => {
    pair = await twoMembers(state);
  });
  afterEach(() => pair.end());

  test('each reads what the other wrote, in every mode', async () => {
    const { memory, peer } = pair;
    const address = await memory.mmap({ pageSize: 4096, pageCount: 4 });
    await memory.write(address + 4090n, Buffer.from('across a page border'));
    for (const mode of ['get', 'invalidate', 'update'])
      expect(await peer('read', address + 4090n, 20, mode)).toBe('across a page border');
    await peer('write', address + 4090n, 'other');
    expect(text(await memory.read(address + 4090n, 20, { mode: 'invalidate' }))).toBe('others a page border');
  });

  test('large transfers arrive whole', async () => {
    const { memory } = pair;
    const address = await memory.mmap({ pageSize: 1 << 20, pageCount: 8 });
    const data = new Float64Array(1 << 20).map((_, i) => i / 3);
    await memory.write(address, data);
    const numbers = memory.array(Float64Array, address, data.length);
    expect(Buffer.compare(Buffer.from((await numbers.read()).buffer), Buffer.from(data.buffer))).toBe(0);
  });

  test('fetchAdd, compareAndSwap and fetchAndStore are atomic', async () => {
    const { memory, peer } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    const others = peer('add', address, 300);
    for (let i = 0; i < 300; i++) await memory.fetchAdd(address, 1n);
    await others;
    expect(await memory.fetchAdd(address, -1n)).toBe(600n);
    expect(await memory.compareAndSwap(address + 8n, Int32Array.of(0), Int32Array.of(7))).toBe(true);
    expect(await memory.compareAndSwap(address + 8n, Int32Array.of(0), Int32Array.of(8))).toBe(false);
    expect(new Int32Array((await memory.fetchAndStore(address + 8n, Int32Array.of(9))).buffer)[0]).toBe(7);
  });

  test('a mutex excludes', async () => {
    const { memory, peer } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 2 });
    const number = memory.array(BigInt64Array, address, 1);
    const mutex = memory.mutex(address + 64n);
    const others = peer('lockedAdd', address + 64n, address, 100);
    for (let i = 0; i < 100; i++) await mutex.run(async () => number.set(0, (await number.get(0)) + 1n));
    await others;
    expect(await number.get(0)).toBe(200n);
  });

  test('barrier and allreduce wait for everybody', async () => {
    const { memory, peer } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    for (let i = 0; i < 10; i++) await Promise.all([memory.barrier(address, 2), peer('barrier', address, 2)]);
    const sums = await Promise.all([
      memory.allreduce(address + 8n, 2, 'sum', 1.5),
      peer('allreduce', address + 8n, 2, 2),
    ]);
    expect(sums).toEqual([3.5, 3.5]);
  });

  test('groups move many pieces at once', async () => {
    const { memory } = pair;
    const address = await memory.mmap({ pageSize: 256, pageCount: 64 });
    const pieces = Array.from({ length: 500 }, (_, i) => ({
      address: address + BigInt(i * 32),
      data: Uint8Array.of(i % 251, i % 7),
    }));
    await memory.writeGroup(pieces);
    const targets = pieces.map(piece => ({ address: piece.address, data: new Uint8Array(2) }));
    await memory.readGroup(targets);
    expect(targets).toEqual(pieces);
  });

  test('watch yields what a range becomes, and ends when aborted', async () => {
    const { memory, peer } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const bytes of memory.watch(address, 1, { signal: stop.signal })) {
        seen.push(text(bytes));
        if (seen.length === 3) stop.abort();
        else await peer('write', address, seen.length === 1 ? 'a' : 'b');
      }
    })();
    await expect(watching).rejects.toMatchObject({ code: 'aborted' });
    expect(seen).toEqual(['\0', 'a', 'b']);
  });

  test('an aborted lock is given back when it comes', async () => {
    const { memory } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    const mutex = memory.mutex(address);
    const held = await mutex.lock();
    expect(await mutex.tryLock()).toBeNull();
    const stop = new AbortController();
    const second = mutex.lock({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(second).rejects.toMatchObject({ code: 'aborted' });
    await held.unlock();
    await (await mutex.lock({ signal: AbortSignal.timeout(5000) })).unlock();
  });
});

describe('what does not fit is refused', () => {
  beforeEach(async () => {
    pair = await twoMembers();
  });
  afterEach(() => pair.end());

  test('addresses and arguments', async () => {
    const { memory } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    await expect(memory.read(1n << 50n, 8)).rejects.toMatchObject({ name: 'GlobalMemoryError' });
    await expect(memory.read(address, 65)).rejects.toThrow(/past the end/);
    await expect(memory.read(-1n, 8)).rejects.toMatchObject({ code: 'bad-address' });
    await expect(memory.read(address, -1)).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(memory.read(address, 8, { mode: 'put' as 'get' })).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(memory.mmap({ pageSize: 0, pageCount: 1 })).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(memory.mmap({ pageSize: 1 << 30, pageCount: 1 << 20 })).rejects.toMatchObject({
      code: 'out-of-memory',
    });
    await memory.munmap(address);
    await expect(memory.read(address, 8)).rejects.toMatchObject({ name: 'GlobalMemoryError' });
  });

  test('a port in use', () => {
    const { port } = pair.memory;
    const again = () => new GlobalMemory({ job: 'x', key: new Uint8Array(32), member: 3, bindPort: port });
    expect(again).toThrow(expect.objectContaining({ code: 'port' }));
  });

  test('everything after close, and what was under way', async () => {
    const { memory } = pair;
    const address = await memory.mmap({ pageSize: 64, pageCount: 1 });
    const waiting = memory.barrier(address, 2);
    await memory.close();
    await expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await expect(memory.read(address, 8)).rejects.toMatchObject({ code: 'closed' });
    await memory.close();
  });
});

test('join announces the port, waits for the view, and is abandoned when put out', async () => {
  let listener: ((change: ViewChange) => void) | null = null;
  const announced: [string, number][] = [];
  const member = { id: 5, state: 'active', host: '127.0.0.1', port: 0, cores: 1, pool: 1 << 20, hostname: '' } as const;
  const whole: ViewChange = { epoch: 1, full: true, members: [member], gone: [], shards: [[0, 1024, 5]] };
  const memory = await join({
    job: 'job',
    key: new Uint8Array(32),
    member: 5,
    build: '',
    onView: given => {
      listener = given;
    },
    announce: async (host, port) => {
      announced.push([host, port]);
      listener?.(whole);
    },
    detach: async () => {},
  });
  expect(announced).toEqual([['127.0.0.1', memory.port]]);
  expect(memory.epoch).toBe(1);
  (listener as ((change: ViewChange) => void) | null)?.({ epoch: 2, full: false, members: [], gone: [5], shards: [] });
  await expect(memory.mmap({ pageSize: 64, pageCount: 1 })).rejects.toMatchObject({ code: 'closed' });
});
