import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProgram, makeSpec } from '@dmi/cli';
import { Client, type ClusterEvent, Coordinator, type Job } from '@dmi/core';
import { Agent } from '@dmi/node-agent';
import { until } from './processes.js';

export interface Running {
  job: Job;
  /** What it has printed. */
  stdout: () => string;
}

/** A coordinator and agents in the process of the test, where one can look into them, and many cost little; their hosts are real. */
export class InProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'dmi-in-process-'));
  readonly events: ClusterEvent[] = [];
  readonly agents = new Map<string, Agent>();
  private constructor(
    readonly coordinator: Coordinator,
    readonly client: Client,
  ) {}

  static async start(nodes: readonly string[]): Promise<InProcess> {
    const images = mkdtempSync(join(tmpdir(), 'dmi-images-'));
    const coordinator = await Coordinator.start({ listen: '127.0.0.1:0', imageDir: images });
    const cluster = new InProcess(coordinator, await Client.connect({ address: coordinator.address, token: null }));
    cluster.#images = images;
    await cluster.client.subscribe(event => cluster.events.push(event));
    await Promise.all(nodes.map(name => cluster.join(name)));
    return cluster;
  }

  #images = '';

  async join(name: string): Promise<void> {
    await this.#start({ name });
  }

  /** A node that gets its name when it joins. */
  async joinUnnamed(): Promise<string> {
    return await this.#start({});
  }

  async #start(options: { name?: string }): Promise<string> {
    const size = { cores: 1, memory: 1 << 26, imageDir: join(this.dir, 'images') };
    const agent = await Agent.start({ join: this.coordinator.address, ...size, ...options });
    this.agents.set(agent.name, agent);
    return agent.name;
  }

  async run(program: string, n: number, args: readonly string[] = [], env: readonly string[] = []): Promise<Running> {
    const loaded = await loadProgram(program);
    const settings = { n, threadMemory: 1 << 26, peerTimeout: 60, balance: 'threads' as const };
    const spec = makeSpec(loaded, [program, ...args], settings);
    const said: string[] = [];
    const job = await this.client.submit({ ...spec, env: [...spec.env, ...env] }, loaded.sources, ({ data }) =>
      said.push(Buffer.from(data).toString()),
    );
    return { job, stdout: () => said.join('') };
  }

  /** Threads per node of a job, as the coordinator has it now. */
  spread({ job }: Running): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { node, threads } of this.coordinator.cluster.jobs.get(job.id)?.hosts.values() ?? [])
      if (node !== null && threads.size > 0) counts[node] = (counts[node] ?? 0) + threads.size;
    return Object.fromEntries(Object.entries(counts).sort());
  }

  async spreadAs(job: Running, expected: Record<string, number>): Promise<void> {
    const wanted = JSON.stringify(expected);
    await until(`threads are ${wanted}`, () => JSON.stringify(this.spread(job)) === wanted, 60);
  }

  get hostPids(): number[] {
    return [...this.agents.values()].flatMap(agent => agent.hostPids);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.agents.values()].map(agent => agent.stop()));
    await this.client.close();
    await this.coordinator.close();
    for (const dir of [this.dir, this.#images]) rmSync(dir, { recursive: true, force: true });
  }
}
