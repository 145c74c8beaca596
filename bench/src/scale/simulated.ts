import {
  type AgentBody,
  type CoordinatorBody,
  connect,
  decode,
  type Frame,
  type FromHost,
  Link,
  type Peer,
} from '@dmi/core';

// Agents and hosts that only speak: the real protocol to the real coordinator, and nothing behind it. Threads are names.

type Order = Extract<CoordinatorBody, { t: 'to-host' }>['message'];

interface Host {
  agent: SimulatedAgent;
  job: string;
  member: number;
  /** Threads here, and how often each has moved. */
  threads: Map<string, number>;
}

/** All simulated machines: moves between hosts happen at once. */
export class Simulation {
  readonly agents = new Map<string, SimulatedAgent>();
  readonly hosts = new Map<number, Host>();
  /** Bytes and messages that the coordinator has sent to agents. */
  bytes = 0;
  messages = 0;
  moves = 0;
  threads = 0;
  /** Called with every order to a host. */
  onOrder: (host: Host, order: Order) => void = () => {};

  constructor(readonly address: string) {}

  async join(name: string): Promise<SimulatedAgent> {
    const { peer } = await connect({ address: this.address, role: 'agent', token: null, onBad: () => {} });
    const agent = new SimulatedAgent(this, name, peer);
    this.agents.set(name, agent);
    await agent.joined;
    return agent;
  }

  close(): void {
    for (const agent of this.agents.values()) agent.close();
  }
}

export class SimulatedAgent {
  readonly joined: Promise<void>;
  #link = new Link<AgentBody, CoordinatorBody>();
  #beat: NodeJS.Timeout | null = null;

  constructor(
    private readonly simulation: Simulation,
    readonly name: string,
    private readonly peer: Peer<object>,
  ) {
    let done = () => {};
    this.joined = new Promise(resolve => {
      done = resolve;
    });
    // Read past the schemas: what is measured is the coordinator.
    peer.socket.removeAllListeners('message');
    peer.socket.on('message', (bytes: Buffer) => {
      simulation.bytes += bytes.length;
      simulation.messages++;
      const message = decode(bytes) as { t: string; beatMs: number; ack: number };
      if (message.t === 'joined') {
        this.#beat = setInterval(() => peer.send({ t: 'beat', ack: this.#link.received }), message.beatMs);
        done();
      } else if (message.t === 'beat') {
        this.#link.acknowledged(message.ack);
      } else if (message.t === 'frame') {
        const body = this.#link.receive(message as unknown as Frame<CoordinatorBody>);
        if (body) this.#on(body);
      }
    });
    const node = {
      name,
      nameFixed: true,
      instance: name,
      cores: 1,
      memory: 1 << 30,
      address: '127.0.0.1',
      hostname: name,
      version: 'simulated',
      features: [],
    };
    peer.send({ t: 'join', node, resume: null, hosts: [], outcomes: [] });
  }

  close(): void {
    if (this.#beat) clearInterval(this.#beat);
    this.peer.socket.terminate();
  }

  say({ job, member }: Host, message: FromHost): void {
    this.#send({ t: 'from-host', job, member, seq: 0, message });
  }

  #send(body: AgentBody): void {
    this.peer.send(this.#link.send(body));
  }

  #on(body: CoordinatorBody): void {
    const { hosts } = this.simulation;
    if (body.t === 'spawn') {
      const host: Host = { agent: this, job: body.job, member: body.member, threads: new Map() };
      hosts.set(body.member, host);
      this.say(host, { t: 'hello', version: '0.1.0', build: 'b', wire: 1, pid: 1, port: 1, features: [] });
    } else if (body.t === 'to-host') {
      const host = hosts.get(body.member);
      if (host) this.#order(host, body.message);
    } else if (body.t === 'released') {
      this.close();
    }
  }

  #order(host: Host, order: Order): void {
    this.simulation.onOrder(host, order);
    if (order.t === 'start') {
      const thread = `${host.member}.${order.thread}`;
      host.threads.set(thread, 0);
      this.simulation.threads++;
      this.say(host, { t: 'started', thread, by: null, movable: true });
    } else if (order.t === 'drain') {
      this.say(host, { t: 'drained' });
    } else if (order.t === 'stop') {
      this.simulation.hosts.delete(host.member);
      this.#send({ t: 'host-exited', job: host.job, member: host.member, code: 0, signal: null, detail: '' });
    } else if (order.t === 'move') {
      this.#move(host, order);
    }
  }

  #move(host: Host, { move, thread, to }: Extract<Order, { t: 'move' }>): void {
    const peer = this.simulation.hosts.get(to);
    const moves = (host.threads.get(thread) ?? 0) + 1;
    const figures = { to, reason: '', bytes: 4096, seconds: 0, pauseSeconds: 0, moves };
    if (!peer || !host.threads.delete(thread)) {
      this.say(host, { t: 'moved', move, thread, ok: false, code: 'gone', ...figures });
      return;
    }
    this.simulation.moves++;
    peer.threads.set(thread, moves);
    peer.agent.say(peer, { t: 'arrived', thread, move, bytes: 4096, moves });
    this.say(host, { t: 'moved', move, thread, ok: true, code: 'ok', ...figures });
  }
}
