import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Child } from './child.js';
import { DMI } from './paths.js';

const running = new Set<Cluster>();

/** Ends every cluster that still runs: nothing may be left behind, however the demo ends. */
export async function stopClusters(): Promise<void> {
  await Promise.all([...running].map(cluster => cluster.stop()));
}

/** A coordinator and its agents, each a process of its own on loopback, started and stopped as a user would. */
export class Cluster {
  readonly #agents = new Map<string, Child>();
  readonly #coordinator: Child;
  readonly address: string;

  private constructor(coordinator: Child, address: string) {
    this.#coordinator = coordinator;
    this.address = address;
  }

  /** The agents that were started and have not left. */
  get names(): string[] {
    return [...this.#agents.keys()];
  }

  static async start(): Promise<Cluster> {
    let found: (address: string) => void = () => {};
    const address = new Promise<string>(resolve => {
      found = resolve;
    });
    const coordinator = new Child('dmi coordinator', process.execPath, [DMI, 'coordinator', '--port', '0'], line => {
      const match = /wss?:\/\/[^\s"]+/.exec(line);
      if (match) found(match[0]);
    });
    const cluster = new Cluster(coordinator, await Promise.race([address, coordinator.failsEarly()]));
    running.add(cluster);
    return cluster;
  }

  /** Starts an agent with one core's worth of threads and waits until the coordinator has it. */
  async join(name: string): Promise<void> {
    const args = [DMI, 'agent', '--join', this.address, '--name', name, '--cores', '1'];
    const agent = new Child(`dmi agent ${name}`, process.execPath, args, () => {});
    this.#agents.set(name, agent);
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      if (!agent.running) await agent.failsEarly();
      if ((await this.#nodes()).includes(name)) return;
      await new Promise(resolve => setTimeout(resolve, 200));
    }
    throw new Error(`agent ${name} has not joined ${this.address} within 30 s\n${agent.lastWords()}`);
  }

  /** Names of the nodes that the coordinator knows. */
  async #nodes(): Promise<string[]> {
    const { stdout } = await promisify(execFile)(process.execPath, [
      DMI,
      'nodes',
      '-o',
      'json',
      '--address',
      this.address,
    ]);
    const rows: unknown = JSON.parse(stdout);
    return Array.isArray(rows) ? rows.map(row => String((row as { name: unknown }).name)) : [];
  }

  /** `dmi drain NODE`: returns when the node has given everything away and left. */
  async drain(name: string): Promise<void> {
    const args = [DMI, 'drain', name, '--address', this.address];
    const command = new Child(`dmi drain ${name}`, process.execPath, args, () => {});
    const code = await command.ended;
    if (code !== 0) throw new Error(`dmi drain ${name} gave ${code}\n${command.lastWords()}`);
    await this.#agents.get(name)?.stop(10);
    this.#agents.delete(name);
  }

  /** Ctrl-C on the agent's terminal: it drains and leaves by itself. */
  async interrupt(name: string): Promise<void> {
    const agent = this.#agents.get(name);
    if (!agent) throw new Error(`no agent ${name}`);
    agent.signal('SIGTERM');
    const code = await agent.ended;
    if (code !== 0) throw new Error(`agent ${name} ended with status ${code} after SIGTERM\n${agent.lastWords()}`);
    this.#agents.delete(name);
  }

  async stop(): Promise<void> {
    running.delete(this);
    for (const agent of this.#agents.values()) agent.signal('SIGKILL');
    await Promise.all([...this.#agents.values()].map(agent => agent.stop(5)));
    await this.#coordinator.stop(5);
  }
}
