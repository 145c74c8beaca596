import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, type ClusterEvent, type ClusterSettings, Coordinator, type Job, type JobSpec } from '@dmi/core';
import { Agent, type AgentOptions } from '@dmi/node-agent';
import { loadProgram, makeSpec, type SpecOptions } from '../src/index.js';

const DMI = fileURLToPath(new URL('../bin/dmi.js', import.meta.url));
export const FAKE_HOST = fileURLToPath(new URL('../../node-agent/test/fake-host.mjs', import.meta.url));

/** The real coordinator and real agents over loopback, with hosts that only speak the control channel. */
export class TestCluster {
  readonly agents = new Map<string, Agent>();
  readonly events: ClusterEvent[] = [];
  readonly #dir = mkdtempSync(join(tmpdir(), 'dmi-test-'));

  private constructor(
    public coordinator: Coordinator,
    public client: Client,
  ) {}

  static async start(nodes: number, settings: Partial<ClusterSettings> = {}): Promise<TestCluster> {
    const dir = mkdtempSync(join(tmpdir(), 'dmi-test-images-'));
    const coordinator = await Coordinator.start({ listen: '127.0.0.1:0', settings, imageDir: dir, beatMs: 200 });
    const cluster = new TestCluster(coordinator, await Client.connect({ address: coordinator.address, token: null }));
    await cluster.client.subscribe(event => cluster.events.push(event));
    for (let i = 1; i <= nodes; i++) await cluster.join(`n${i}`);
    return cluster;
  }

  async join(name: string, options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await Agent.start({
      join: this.coordinator.address,
      name,
      cores: 1,
      memory: 1 << 26,
      hostBinary: FAKE_HOST,
      imageDir: join(this.#dir, name),
      retryMs: 5_000,
      ...options,
    });
    this.agents.set(name, agent);
    return agent;
  }

  /** `dmi` with these arguments, as a user of this cluster runs it. */
  dmi(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const env = { ...process.env, DMI_ADDRESS: this.coordinator.address };
    return new Promise(resolve =>
      execFile(process.execPath, [DMI, ...args], { encoding: 'utf8', env }, (error, stdout, stderr) =>
        resolve({ status: error ? Number(error.code) : 0, stdout, stderr }),
      ),
    );
  }

  /** Lets the threads go on that are at `until`. */
  go(): void {
    writeFileSync(join(this.#dir, 'go'), '');
  }

  async program(
    script: string,
    n = 1,
    env: Record<string, string> = {},
    options: Partial<SpecOptions> = {},
  ): Promise<{ spec: JobSpec; sources: ReadonlyMap<string, string> }> {
    const program = await loadProgram('/bin/true');
    const spec = makeSpec(program, ['true', script.replace('until', `until=${join(this.#dir, 'go')}`)], {
      n,
      threadMemory: 1 << 20,
      peerTimeout: 5,
      balance: 'threads',
      ...options,
    });
    spec.env = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return { spec, sources: program.sources };
  }

  /** Submits a script for the fake host (see fake-host.mjs); `until` in it waits for `go()`. */
  async submit(
    n: number,
    script: string,
    env: Record<string, string> = {},
    options: Partial<SpecOptions> = {},
  ): Promise<{ job: Job; output: string[]; spec: JobSpec }> {
    const { spec, sources } = await this.program(script, n, env, options);
    const output: string[] = [];
    const job = await this.client.submit(spec, sources, piece => output.push(Buffer.from(piece.data).toString()));
    return { job, output, spec };
  }

  /** Resolves when an event fits; those of the past count. */
  async until(what: string, fits: (event: ClusterEvent) => boolean, ms = 20_000): Promise<ClusterEvent> {
    for (const end = Date.now() + ms; Date.now() < end; await pause(20)) {
      const found = this.events.find(fits);
      if (found) return found;
    }
    throw new Error(`no event "${what}" within ${ms} ms; seen: ${JSON.stringify(this.events.slice(-20))}`);
  }

  /** Threads per node, as the coordinator has it. */
  async threads(): Promise<Record<string, number>> {
    return Object.fromEntries((await this.client.nodes()).map(({ name, threads }) => [name, threads]));
  }

  async settled(expected: Record<string, number>, ms = 20_000): Promise<void> {
    let last = '';
    for (const end = Date.now() + ms; Date.now() < end; await pause(50)) {
      last = JSON.stringify(await this.threads());
      if (last === JSON.stringify(expected)) return;
    }
    throw new Error(`threads are ${last}, not ${JSON.stringify(expected)}`);
  }

  get hostPids(): number[] {
    return [...this.agents.values()].flatMap(agent => agent.hostPids);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.agents.values()].map(agent => agent.stop()));
    await this.client.close();
    await this.coordinator.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

/** Is a process there (zombies are not)? */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
