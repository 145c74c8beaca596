import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Network } from '../../scripts/dist/network.js';
import { Cluster, said } from './cluster.js';
import type { Measurement } from './result.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Bytes per second at which a node with so many threads of so many MiB is drained, from the request until it has left. */
export async function measureDrain(threads: number, mib: number, network: Network | null = null): Promise<Measurement> {
  const cluster = new Cluster(network);
  try {
    await cluster.coordinate();
    await cluster.join('full');
    const go = join(cluster.directory, 'go');
    const memory = `${2 * mib}M`;
    const guest = [`${root}bench/guests/build/drain`, `${mib}MiB`, go];
    const options = ['-n', `${threads}`, '--balance', 'none', '--thread-memory', memory, '--events', '3'];
    const job = cluster.dmi('hub', 'run', ...options, '--', ...guest);
    const ended = once(job, 'exit');
    let failed = 0;
    // Its host's start is no part of what is measured.
    const member = new Promise<void>((resolve, reject) => {
      job.once('exit', () => reject(new Error('the job ended before the drain')));
      createInterface({ input: job.stdio[3] as Readable }).on('line', line => {
        const { event, node, state } = JSON.parse(line);
        if (event === 'move-failed') failed++;
        if (event === 'member' && node === 'empty' && state === 'active') resolve();
      });
    });
    await printed(job, 'ready', threads);
    await cluster.join('empty');
    await member;
    const { seconds } = JSON.parse(await said(cluster.dmi('hub', 'drain', 'full', '-o', 'json'), 'dmi drain'));
    writeFileSync(go, '');
    const [status] = await ended;
    if (status !== 0 || failed > 0)
      throw new Error(`drain of ${threads} threads: exit status ${status}, ${failed} moves failed`);
    return { name: `drain-${threads}x${mib}MiB`, value: (threads * mib * 2 ** 20) / seconds, unit: 'B/s' };
  } finally {
    await cluster.stop();
  }
}

/** Until a program has printed a line so many times. */
async function printed(child: ChildProcess, line: string, times: number): Promise<void> {
  if (!child.stdout) throw new Error('its output is not read');
  let seen = 0;
  for await (const one of createInterface({ input: child.stdout })) if (one.endsWith(line) && ++seen === times) return;
  throw new Error(`only ${seen} of ${times} threads said ${line}`);
}
