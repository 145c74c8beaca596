import { Coordinator, type CoordinatorOptions } from '@dmi/core';
import { Agent, type AgentEnd, type AgentOptions, defaultCores, defaultMemory } from '@dmi/node-agent';
import type { Logger } from 'pino';

export interface LocalClusterOptions {
  nodes: number;
  /** Where the coordinator listens; default: any free port of this machine. */
  listen?: string;
  token?: string | null;
  /** Per node; default: this machine's divided by the nodes. */
  cores?: number;
  memory?: number;
  log: Logger;
  agent?: Partial<AgentOptions>;
  coordinator?: Partial<CoordinatorOptions>;
}

/** A coordinator and some agents in this process, on loopback; their hosts are processes of their own. */
export class LocalCluster {
  private constructor(
    readonly coordinator: Coordinator,
    readonly agents: Agent[],
  ) {}

  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const { nodes, listen = '127.0.0.1:0', token = null, log } = options;
    const coordinator = await Coordinator.start({
      listen,
      token,
      log: log.child({ part: 'coordinator' }),
      ...options.coordinator,
    });
    const cluster = new LocalCluster(coordinator, []);
    try {
      const cores = options.cores ?? Math.max(1, Math.floor(defaultCores() / nodes));
      const memory = options.memory ?? Math.floor(defaultMemory() / nodes);
      for (let i = 1; i <= nodes; i++) {
        const name = `node-${i}`;
        const agent = await Agent.start({
          join: coordinator.address,
          token,
          name,
          cores,
          memory,
          log: log.child({ part: name }),
          ...options.agent,
        });
        cluster.agents.push(agent);
      }
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Resolves with the first agent that ends. */
  get agentEnded(): Promise<{ agent: Agent; end: AgentEnd }> {
    return Promise.race(this.agents.map(async agent => ({ agent, end: await agent.ended })));
  }

  /** Ends everything: hosts first, then agents, then the coordinator. */
  async stop(): Promise<void> {
    await Promise.all(this.agents.map(agent => agent.stop()));
    await this.coordinator.close();
  }
}
