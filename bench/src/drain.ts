import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from '@dmi/core';
import type { Measurement } from './result.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A coordinator and agents, a process each, and what runs on them. */
class Cluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'dmi-drain-'));
  readonly #children: ChildProcess[] = [];
  readonly #env: NodeJS.ProcessEnv = { ...process.env, DMI_TOKEN: '', DMI_CACHE_DIR: this.directory };

  get address(): string {
    return this.#env.DMI_ADDRESS ?? '';
  }

  start(...args: string[]): ChildProcess {
    const child = spawn(process.execPath, [`${root}packages/cli/bin/dmi.js`, ...args], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  /** Starts a command that says one line when it is ready. @returns the line */
  async #ready(...args: string[]): Promise<string> {
    const child = this.start(...args, '--log-level', 'error');
    return await new Promise<string>((resolve, reject) => {
      if (child.stdout) createInterface({ input: child.stdout }).once('line', resolve);
      child.once('exit', code => reject(new Error(`dmi ${args.join(' ')} ended with ${code}`)));
    });
  }

  async coordinate(): Promise<void> {
    this.#env.DMI_ADDRESS = await this.#ready('coordinator', '--listen', '127.0.0.1:0');
  }

  async join(name: string): Promise<void> {
    await this.#ready('agent', '--name', name, '--memory', '256M');
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Bytes per second at which a node with so many threads of so many MiB is drained, from the request until it has left. */
export async function measureDrain(threads: number, mib: number): Promise<Measurement> {
  const cluster = new Cluster();
  try {
    await cluster.coordinate();
    await cluster.join('full');
    const go = join(cluster.directory, 'go');
    const memory = `${2 * mib}M`;
    const guest = `${root}bench/guests/build/drain`;
    const job = cluster.start(
      ...['run', '-n', `${threads}`, '--balance', 'none', '--thread-memory', memory, '--', guest, `${mib}MiB`, go],
    );
    const ended = once(job, 'exit');
    await said(job, 'ready', threads);
    const client = await Client.connect({ address: cluster.address, token: null });
    let failed = 0;
    // Its host's start is no part of what is measured.
    const member = new Promise<void>((resolve, reject) => {
      job.once('exit', () => reject(new Error('the job ended before the drain')));
      void client.subscribe(event => {
        if (event.event === 'move-failed') failed++;
        if (event.event === 'member' && event.node === 'empty' && event.state === 'active') resolve();
      });
    });
    await cluster.join('empty');
    await member;
    const { seconds } = await client.drain('full');
    await client.close();
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
async function said(child: ChildProcess, line: string, times: number): Promise<void> {
  if (!child.stdout) throw new Error('its output is not read');
  let seen = 0;
  for await (const one of createInterface({ input: child.stdout })) if (one.endsWith(line) && ++seen === times) return;
  throw new Error(`only ${seen} of ${times} threads said ${line}`);
}
