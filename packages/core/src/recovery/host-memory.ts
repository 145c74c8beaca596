import type { AgentBody, CoordinatorBody, HostReport } from '../wire/agent-messages.js';
import type { FromHost, MoveCause, ToHost } from '../wire/host-messages.js';
import { ViewHistory } from './view-history.js';

type Spawn = Extract<CoordinatorBody, { t: 'spawn' }>;
type Exit = Omit<Extract<AgentBody, { t: 'host-exited' }>, 't' | 'job' | 'member'>;

/** Ends of threads other than the first ones that are remembered, for claims of them that are late. */
const LATE = 4096;

/**
 * What an agent remembers of a host, from its start until the job is over, so that a coordinator that was restarted can
 * learn it from the agents: the job, the views, the threads that are here, and the moves and ends it may not have heard of.
 */
export class HostMemory {
  #port = 0;
  #build = '';
  #features: string[] = [];
  #hello = false;
  #drain = false;
  #drained = false;
  #stop: string | null = null;
  #disowned = false;
  #end: Exit | null = null;
  readonly #views = new ViewHistory();
  readonly #starts = new Map<number, number>();
  /** Threads here, and after how many moves: a fast thread may be back before its going is told. */
  readonly #here = new Map<string, { movable: boolean; moves: number }>();
  readonly #moves = new Map<string, { move: string; thread: string; to: number; cause: MoveCause }>();
  readonly #exited = new Map<string, number>();
  readonly #ended = new Set<string>();

  constructor(private readonly spawn: Spawn) {}

  sent(message: ToHost): void {
    switch (message.t) {
      case 'view':
        this.#views.record(message);
        return;
      case 'start':
        this.#starts.set(message.thread, message.rank);
        return;
      case 'move': {
        const { move, thread, to, cause } = message;
        this.#moves.set(move, { move, thread, to, cause });
        return;
      }
      case 'drain':
        this.#drain = true;
        return;
      case 'stop':
        this.#stop ??= message.reason;
        return;
    }
  }

  heard(message: FromHost): void {
    switch (message.t) {
      case 'hello':
        this.#hello = true;
        this.#port = message.port;
        this.#build = message.build;
        this.#features = message.features;
        return;
      case 'started':
        this.#here.set(message.thread, { movable: message.movable, moves: 0 });
        return;
      case 'arrived':
        this.#here.set(message.thread, { movable: true, moves: message.moves });
        return;
      case 'moved':
        if (message.move != null) this.#moves.delete(message.move);
        if (message.ok && (this.#here.get(message.thread)?.moves ?? 0) < (message.moves ?? 0))
          this.#here.delete(message.thread);
        return;
      case 'exited':
        this.#here.delete(message.thread);
        if (message.main) this.#exited.set(message.thread, message.status);
        this.#ended.add(message.thread);
        for (const oldest of this.#ended) {
          if (this.#ended.size <= LATE) break;
          this.#ended.delete(oldest);
        }
        return;
      case 'drained':
        this.#drained = true;
        return;
    }
  }

  /** First threads that ended on nodes which have left since. */
  remember(exited: readonly { thread: string; status: number }[]): void {
    for (const { thread, status } of exited) this.#exited.set(thread, status);
  }

  /** The coordinator has said that it is no part of its job. */
  disown(): void {
    this.#disowned = true;
  }

  /** The process is gone. */
  over(exit: Exit): void {
    this.#end = exit;
  }

  report(): HostReport {
    const { job, member, lite, spec, key, nextMember, startedAt } = this.spawn;
    return {
      job,
      member,
      lite,
      spec,
      key,
      nextMember,
      startedAt,
      port: this.#port,
      build: this.#build,
      features: this.#features,
      hello: this.#hello,
      drain: this.#drain,
      drained: this.#drained,
      stop: this.#stop,
      disowned: this.#disowned,
      end: this.#end,
      views: [...this.#views.changes],
      starts: [...this.#starts].map(([thread, rank]) => ({ thread, rank })),
      threads: [...this.#here].map(([thread, { movable, moves }]) => ({ thread, movable, moves })),
      moves: [...this.#moves.values()],
      exited: [...this.#exited].map(([thread, status]) => ({ thread, status })),
      ended: [...this.#ended],
    };
  }
}
