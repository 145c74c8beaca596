import type { Network } from '../network.js';
import { Child } from './child.js';
import { DMI } from './paths.js';

const running = new Set<Cluster>();

/** Ends every cluster that still runs: nothing may be left behind, however the demo ends. */
export async function stopClusters(): Promise<void> {
  await Promise.all([...running].map(cluster => cluster.stop()));
}

/** A coordinator and its agents, each a process of its own, on loopback or on machines of a network, started and stopped as a user would. */
export class Cluster {
  readonly #agents = new Map<string, Child>();
  readonly #coordinator: Child;

  private constructor(
    coordinator: Child,
    readonly address: string,
    readonly network: Network | null,
  ) {
    this.#coordinator = coordinator;
  }

  /** The agents that were started and have not left. */
  get names(): string[] {
    return [...this.#agents.keys()];
  }

  /** @param network has a machine `hub`, for the coordinator and for commands, and one for each agent that will join */
  static async start(network: Network | null = null): Promise<Cluster> {
    let found: (address: string) => void = () => {};
    const address = new Promise<string>(resolve => {
      found = resolve;
    });
    const listen = `${network?.address('hub') ?? '127.0.0.1'}:0`;
    const [program, ...args] = on(network, 'hub', ['coordinator', '--listen', listen, '--log-level', 'warn']);
    const coordinator = new Child('dmi coordinator', program, args, line => {
      const match = /wss?:\/\/[^\s"]+/.exec(line);
      if (match) found(match[0]);
    });
    const cluster = new Cluster(coordinator, await Promise.race([address, coordinator.failsEarly()]), network);
    running.add(cluster);
    return cluster;
  }

  /** Starts an agent with one core's worth of threads and waits until the coordinator has it. */
  async join(name: string): Promise<void> {
    const [program, ...args] = on(this.network, name, [
      'agent',
      '--join',
      this.address,
      '--name',
      name,
      '--cores',
      '1',
    ]);
    let joined: () => void = () => {};
    const first = new Promise<void>(resolve => {
      joined = resolve;
    });
    const agent = new Child(`dmi agent ${name}`, program, args, () => joined()); // it prints its name
    this.#agents.set(name, agent);
    await Promise.race([first, agent.failsEarly()]);
  }

  /** `dmi drain NODE`: returns when the node has given everything away and left. */
  async drain(name: string): Promise<void> {
    const [program, ...args] = on(this.network, 'hub', ['drain', name, '--address', this.address]);
    const command = new Child(`dmi drain ${name}`, program, args, () => {});
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

/** `dmi` with these arguments, on a machine if there is a network. */
export function on(network: Network | null, machine: string, args: readonly string[]): [string, ...string[]] {
  const command: [string, ...string[]] = [process.execPath, DMI, ...args];
  return network?.on(machine, command) ?? command;
}
