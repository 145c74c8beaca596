import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Coordinator, hashFile, ImageStore } from '@dmi/core';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { TestCluster } from './harness.js';

/** A file system of 256 KiB, or why there is none. */
function tinyDisk(): { dir: string; missing: string | null } {
  const dir = mkdtempSync(join(tmpdir(), 'dmi-tiny-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir], { stdio: 'pipe' });
    return { dir, missing: null };
  } catch (error) {
    return { dir, missing: (error as Error).message.split('\n').at(-2) ?? 'mount failed' };
  }
}

const { dir, missing } = tinyDisk();
if (missing) process.stderr.write(`tests of a full disk are skipped, as they need to mount one: ${missing}\n`);
let cluster: TestCluster | null = null;
afterEach(async () => {
  await cluster?.stop();
  cluster = null;
}, 60_000);
afterAll(() => {
  if (!missing) execFileSync('umount', [dir]);
  rmSync(dir, { recursive: true, force: true });
});

const parts = () => readdirSync(dir, { recursive: true }).filter(name => String(name).endsWith('.part'));

describe.skipIf(missing !== null)('a full disk', () => {
  it('is named, and what has been written so far is removed, even when the last piece fits in part', async () => {
    const store = new ImageStore(join(dir, 'store'));
    const source = join(mkdtempSync(join(tmpdir(), 'dmi-source-')), 'file');
    const data = Buffer.alloc(400 << 10, 7);
    writeFileSync(source, data);
    const hash = await hashFile(source);
    const writer = await store.create(hash, data.length);
    await writer.write(0, data.subarray(0, 100 << 10));
    await expect(writer.write(100 << 10, data.subarray(100 << 10))).rejects.toMatchObject({
      code: 'image',
      message: `image ${hash.slice(0, 12)} cannot be kept in ${join(dir, 'store', hash.slice(0, 2))}: the disk is full`,
      hint: 'make room there, or name another place with DMI_CACHE_DIR',
    });
    expect(await store.has(hash)).toBe(false);
    expect(parts()).toEqual([]);
    rmSync(source);
  });

  it('under the coordinator refuses the program; the coordinator goes on', async () => {
    cluster = await TestCluster.start(1);
    const other = await Coordinator.start({ listen: '127.0.0.1:0', imageDir: join(dir, 'coordinator') });
    const { Client } = await import('@dmi/core');
    const client = await Client.connect({ address: other.address, token: null });
    try {
      // The program and its libraries are some MiB.
      const { spec, sources } = await cluster.program('print');
      await expect(client.submit(spec, sources, () => {})).rejects.toMatchObject({
        code: 'image',
        message: expect.stringMatching(/cannot be kept in .*: the disk is full$/),
      });
      expect(await client.nodes()).toEqual([]);
      expect(parts()).toEqual([]);
    } finally {
      await client.close();
      await other.close();
    }
  });

  it('under an agent fails the job with the reason; the agent goes on', async () => {
    cluster = await TestCluster.start(0);
    const agent = await cluster.join('n1', { imageDir: join(dir, 'agent') });
    const { job } = await cluster.submit(1, 'print,exit=0');
    const result = await job.done;
    expect(result.state).toBe('failed');
    expect(result.reason).toMatch(
      /the host of job \w+ on node n1 did not start: .*cannot be kept in .*: the disk is full/,
    );
    expect(agent.hostPids).toEqual([]);
    expect((await cluster.client.nodes()).map(({ name, state }) => [name, state])).toEqual([['n1', 'active']]);
    expect(parts()).toEqual([]);
  });
});
