import { DmiError } from '../errors.js';

// The named states of everything that lives, and which may follow which. An illegal transition throws, with both names.

/** Why a host is stopped that has entered no view; says nothing about its job. */
export const NODE_LEAVING = 'its node is leaving';

/** `active`: takes work. `draining`: its hosts are handing everything over. */
export type NodeState = 'active' | 'draining' | 'released' | 'dead';
/**
 * `spawning` -> `ready` (said hello) -> `active` (in the view) -> `draining` (view says so, threads are leaving)
 * -> `handing` (threads are gone, shards and pages are leaving) -> `drained` -> `stopping` -> `gone`.
 */
export type HostState = 'spawning' | 'ready' | 'active' | 'draining' | 'handing' | 'drained' | 'stopping' | 'gone';
/**
 * `recovering`: an earlier coordinator started it, and not all of its nodes have come back yet.
 * `ending`: the outcome is settled and the hosts are being stopped.
 */
export type JobState = 'recovering' | 'starting' | 'running' | 'ending' | 'done' | 'failed' | 'cancelled';
/** `waiting`: for an extra host at the destination. `asked`: the source host is at it. */
export type MoveState = 'waiting' | 'asked';

const NODE: Record<NodeState, readonly NodeState[]> = {
  active: ['draining', 'released', 'dead'],
  draining: ['active', 'released', 'dead'],
  released: [],
  dead: [],
};
const HOST: Record<HostState, readonly HostState[]> = {
  spawning: ['ready', 'stopping', 'gone'],
  ready: ['active', 'stopping', 'gone'],
  active: ['draining', 'stopping', 'gone'],
  draining: ['handing', 'stopping', 'gone'],
  handing: ['drained', 'stopping', 'gone'],
  drained: ['stopping', 'gone'],
  stopping: ['gone'],
  gone: [],
};
const JOB: Record<JobState, readonly JobState[]> = {
  recovering: ['starting', 'running', 'ending'],
  starting: ['running', 'ending'],
  running: ['ending'],
  ending: ['done', 'failed', 'cancelled'],
  done: [],
  failed: [],
  cancelled: [],
};
const MOVE: Record<MoveState, readonly MoveState[]> = { waiting: ['asked'], asked: [] };

function advance<S extends string>(table: Record<S, readonly S[]>, kind: string) {
  return (object: { state: S }, to: S, name: string): void => {
    if (!table[object.state].includes(to)) {
      throw new DmiError('illegal-transition', `${kind} ${name}: ${object.state} -> ${to}`, { object: name });
    }
    object.state = to;
  };
}

export const advanceNode = advance(NODE, 'node');
export const advanceHost = advance(HOST, 'host');
export const advanceJob = advance(JOB, 'job');
export const advanceMove = advance(MOVE, 'move');
