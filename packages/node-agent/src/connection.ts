import {
  type AgentBody,
  type CoordinatorBody,
  DmiError,
  type FromAgent,
  findLeader,
  type HostReport,
  type JobOutcome,
  Link,
  type NodeInfo,
  type Peer,
  type Terms,
  type TlsFiles,
  type ToAgent,
  toAgent,
} from '@dmi/core';
import type { Logger } from 'pino';

export interface ConnectionOptions {
  /** Of all coordinators that may lead, with commas between them. */
  addresses: string;
  token: string | null;
  tls: TlsFiles;
  /** How long to try to come back, ms, while hosts keep computing. */
  retryMs: number;
  /** How long to try to reach the coordinator at first, ms. */
  firstMs: number;
  log: Logger;
  /** This node; the address of the data ports may be taken from the connection. */
  info: (localAddress: string) => NodeInfo;
  reports: () => HostReport[];
  outcomes: () => JobOutcome[];
  onBody: (body: CoordinatorBody) => void;
  onUnnumbered: (message: Extract<ToAgent, { t: 'need' | 'piece' | 'no-piece' }>) => void;
  /** The connection is gone; what follows is `onBack` or `onLost`. */
  onBreak: () => void;
  /** Connected again. `fresh`: to a coordinator that does not know us any more. */
  onBack: (fresh: boolean) => void;
  /** The coordinator is not coming back. */
  onLost: (error: DmiError) => void;
  /** What to claim to be; for tests. */
  version?: string;
}

const FIRST_WAIT = 100;
const MAX_WAIT = 2_000;
const SILENT_BEATS = 5;
/** What may be otherwise in a moment. `busy`: somebody at our address has failed too often. `standby`: nobody leads yet. */
const PASSING: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'busy', 'standby']);
/** What may be otherwise for a node that has been in: certificates are read anew each time, and may be in the middle of being renewed. */
const RENEWED: ReadonlySet<string> = new Set(['tls', 'usage']);

/** The agent's line to the coordinator: joins, comes back after a break, loses and doubles no message. */
export class Connection {
  name = '';
  #link = new Link<AgentBody, CoordinatorBody>();
  #peer: Peer<FromAgent> | null = null;
  #session: string | null = null;
  #beat: NodeJS.Timeout | null = null;
  #closed = false;
  /** Last message that the reports of the join under way account for. */
  #accounted = 0;
  readonly #terms: Terms = new Map();

  constructor(private readonly options: ConnectionOptions) {}

  get connected(): boolean {
    return this.#peer !== null;
  }

  /** Messages and bytes that the coordinator does not have yet. */
  get backlog(): { messages: number; bytes: number } {
    return { messages: this.#link.pending, bytes: this.#peer?.backlog ?? 0 };
  }

  /** Resolves when the node has joined. @throws DmiError `unreachable`, `version`, `auth`, `name-taken` … */
  async start(): Promise<void> {
    await this.#retry(this.options.firstMs);
  }

  send(body: AgentBody): void {
    const frame = this.#link.send(body);
    this.#peer?.send(frame);
  }

  need(hash: string, offset: number): void {
    this.#peer?.send({ t: 'need', hash, offset });
  }

  /** Another node needs this of an image, and the coordinator does not have it. */
  answer(message: Extract<FromAgent, { t: 'piece' | 'no-piece' }>): void {
    this.#peer?.send(message);
  }

  close(): void {
    this.#closed = true;
    if (this.#beat) clearInterval(this.#beat);
    this.#peer?.close(1000, 'the agent leaves');
  }

  async #retry(patience: number): Promise<void> {
    const until = performance.now() + patience;
    for (let wait = FIRST_WAIT; ; wait = Math.min(MAX_WAIT, wait * 2)) {
      try {
        return await this.#join();
      } catch (thrown) {
        const error = thrown as DmiError;
        const hopeless = !PASSING.has(error.code) && !(this.#session !== null && RENEWED.has(error.code));
        if (this.#closed || hopeless || performance.now() + wait > until) throw error;
        await new Promise(resolve => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
      }
    }
  }

  async #join(): Promise<void> {
    const { addresses, token, tls, log, version } = this.options;
    const { peer, address } = await findLeader({
      addresses,
      terms: this.#terms,
      role: 'agent',
      token,
      tls,
      onBad: error => log.warn(`coordinator connection: ${error.message}`),
      ...(version === undefined ? {} : { version }),
    });
    const to = peer as Peer<FromAgent>;
    await new Promise<void>((resolve, reject) => {
      const gone = (_code: number, reason: Buffer) =>
        reject(
          new DmiError(
            'unreachable',
            `the coordinator at ${address} closed the connection${reason.length > 0 ? `: ${reason}` : ''}`,
          ),
        );
      peer.socket.once('close', gone);
      peer.receive(toAgent, 'coordinator message', message => {
        if (message.t === 'joined') {
          peer.socket.off('close', gone);
          this.#joined(to, message);
          resolve();
        } else if (message.t === 'refused') {
          reject(
            new DmiError(message.code as DmiError['code'], message.reason, message.hint ? { hint: message.hint } : {}),
          );
        } else if (this.#peer === to) {
          this.#receive(message);
        }
      });
      const resume =
        this.#session === null ? null : { session: this.#session, name: this.name, received: this.#link.received };
      const local =
        (peer.socket as unknown as { _socket?: { localAddress?: string } })._socket?.localAddress ?? '127.0.0.1';
      this.#accounted = this.#link.sent;
      to.send({
        t: 'join',
        node: this.options.info(local),
        resume,
        hosts: this.options.reports(),
        outcomes: this.options.outcomes(),
      });
    });
  }

  #joined(peer: Peer<FromAgent>, message: Extract<ToAgent, { t: 'joined' }>): void {
    const again = this.#session !== null;
    this.#peer = peer;
    this.name = message.name;
    this.#session = message.session;
    if (message.resumed) {
      for (const frame of this.#link.replayAfter(message.received)) peer.send(frame);
    } else {
      // What hosts have said since the reports were made goes to the new coordinator; the rest is in the reports.
      const since = this.#link.after(this.#accounted);
      this.#link = new Link();
      for (const body of again ? since : []) this.send(body);
    }
    if (this.#beat) clearInterval(this.#beat);
    this.#beat = setInterval(() => this.#pulse(peer, message.beatMs * SILENT_BEATS), message.beatMs);
    peer.socket.on('close', (_code, reason) => void this.#broken(peer, reason.toString()));
    if (again) this.options.onBack(!message.resumed);
  }

  #receive(message: ToAgent): void {
    switch (message.t) {
      case 'beat':
        this.#link.acknowledged(message.ack);
        return;
      case 'frame': {
        const body = this.#link.receive(message);
        if (body !== null) this.options.onBody(body);
        return;
      }
      case 'need':
      case 'piece':
      case 'no-piece':
        this.options.onUnnumbered(message);
        return;
      case 'joined':
      case 'refused':
        return;
    }
  }

  #pulse(peer: Peer<FromAgent>, silent: number): void {
    if (performance.now() - peer.lastHeard > silent) peer.socket.terminate();
    else peer.send({ t: 'beat', ack: this.#link.received });
  }

  async #broken(peer: Peer<FromAgent>, reason: string): Promise<void> {
    if (this.#peer !== peer || this.#closed) return;
    this.#peer = null;
    if (this.#beat) clearInterval(this.#beat);
    const { log, retryMs } = this.options;
    log.warn(
      `lost the coordinator${reason && ` (${reason})`}; hosts go on, trying for ${retryMs / 1000} s to come back`,
    );
    this.options.onBreak();
    try {
      await this.#retry(retryMs);
    } catch (error) {
      if (!this.#closed) this.options.onLost(error as DmiError);
    }
  }
}
