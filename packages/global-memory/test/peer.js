// The other member of the tests: a process of its own that does what it is told over IPC.
import { GlobalMemory } from '../dist/index.js';

/** @type {GlobalMemory} */
let memory;

const commands = {
  start(options) {
    memory = new GlobalMemory({ ...options, key: Buffer.from(options.key, 'hex') });
    return memory.port;
  },
  view: change => memory.applyView(change),
  async write(address, text) {
    await memory.write(BigInt(address), Buffer.from(text));
  },
  async read(address, size, mode) {
    return Buffer.from(await memory.read(BigInt(address), size, { mode })).toString();
  },
  async add(address, times) {
    for (let i = 0; i < times; i++) await memory.fetchAdd(BigInt(address), 1n);
  },
  // Unprotected read, then write: only right under the mutex.
  async lockedAdd(mutex, address, times) {
    const number = memory.array(BigInt64Array, BigInt(address), 1);
    for (let i = 0; i < times; i++)
      await memory.mutex(BigInt(mutex)).run(async () => number.set(0, (await number.get(0)) + 1n));
  },
  barrier: (address, count) => memory.barrier(BigInt(address), count),
  allreduce: (address, count, value) => memory.allreduce(BigInt(address), count, 'sum', value),
  close: () => memory.close(),
};

process.on('message', async ({ id, name, args }) => {
  try {
    process.send?.({ id, value: await commands[name](...args) });
  } catch (error) {
    process.send?.({ id, error: `${error.code}: ${error.message}` });
  }
});
process.on('disconnect', () => process.exit());
