import { fork } from 'node:child_process';
import { GlobalMemory, type ViewChange } from '../src/index.js';

const KEY = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';

/** A job of two members: one here, one in a process of its own. */
export interface TwoMembers {
  memory: GlobalMemory;
  peer(name: string, ...args: unknown[]): Promise<unknown>;
  end(): Promise<void>;
}

export async function twoMembers(peerState: 'active' | 'lite' = 'active'): Promise<TwoMembers> {
  const child = fork(new URL('./peer.js', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  child.on('message', (message: { id: number; value?: unknown; error?: string }) => {
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) call?.resolve(message.value);
    else call?.reject(new Error(message.error));
  });
  let calls = 0;
  const peer = (name: string, ...args: unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      const id = calls++;
      waiting.set(id, { resolve, reject });
      child.send({ id, name, args: args.map(arg => (typeof arg === 'bigint' ? `${arg}` : arg)) });
    });

  const pool = 64 << 20;
  const memory = new GlobalMemory({ job: 'test', key: Buffer.from(KEY, 'hex'), member: 1, state: 'active', pool });
  const port = (await peer('start', { job: 'test', key: KEY, member: 2, state: peerState, pool })) as number;
  const info = { host: '127.0.0.1', cores: 1, pool, hostname: 'test' };
  const view: ViewChange = {
    epoch: 1,
    full: true,
    members: [
      { id: 1, state: 'active', port: memory.port, ...info },
      { id: 2, state: peerState, port, ...info },
    ],
    gone: [],
    shards:
      peerState === 'active'
        ? [
            [0, 512, 1],
            [512, 512, 2],
          ]
        : [[0, 1024, 1]],
  };
  memory.applyView(view);
  await peer('view', view);
  return {
    memory,
    peer,
    async end() {
      await memory.close();
      child.disconnect();
      if (child.exitCode === null) await new Promise(resolve => child.once('exit', resolve));
    },
  };
}
