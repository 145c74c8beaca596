import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Network } from '../../scripts/dist/network.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * A coordinator and agents, a process each, and what runs on them: on loopback, or on machines of a network, which has a `hub` for the
 * coordinator and for commands, and one machine for each agent.
 */
export class Cluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'dmi-bench-'));
  readonly #children: ChildProcess[] = [];
  readonly #env: NodeJS.ProcessEnv;

  constructor(readonly network: Network | null = null) {
    this.#env = { ...process.env, DMI_TOKEN: network ? 'bench' : '', DMI_CACHE_DIR: this.directory };
    if (network) this.#env.DMI_HOST_MOVES = 'stream'; // the machines share a kernel: not past the network
  }

  /** Starts a program on a machine; its descriptor 3 can be read. */
  start(machine: string, command: readonly [string, ...string[]]): ChildProcess {
    const [program, ...args] = this.network?.on(machine, command) ?? command;
    const child = spawn(program, args, { env: this.#env, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
    this.#children.push(child);
    return child;
  }

  dmi(machine: string, ...args: string[]): ChildProcess {
    return this.start(machine, [process.execPath, `${root}packages/cli/bin/dmi.js`, ...args]);
  }

  async coordinate(): Promise<void> {
    const listen = `${this.network?.address('hub') ?? '127.0.0.1'}:0`;
    const child = this.dmi('hub', 'coordinator', '--listen', listen, '--log-level', 'error');
    this.#env.DMI_ADDRESS = await firstLine(child, 'dmi coordinator');
  }

  async join(name: string): Promise<void> {
    const child = this.dmi(name, 'agent', '--name', name, '--memory', '256M', '--log-level', 'error');
    await firstLine(child, `dmi agent ${name}`);
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

/** What a program says when it is ready. */
export async function firstLine(child: ChildProcess, name: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', code => reject(new Error(`${name} ended with ${code}`)));
  });
}

/** All that a program says, once it has ended as it should. */
export async function said(child: ChildProcess, name: string): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${name} ended with ${code}\n${text}`);
  return text;
}
