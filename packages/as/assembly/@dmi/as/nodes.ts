import * as dmi from './bindings';
import { fail } from './bindings';

export enum NodeState {
  Open = 20,
  Opened = 21,
  Close = 22,
  Closed = 23,
}

export class Node {
  constructor(
    readonly id: i32,
    readonly state: NodeState,
    readonly cores: i32,
    readonly memory: i64,
    readonly hostname: string,
  ) {}
}

/** A DMI_node_t: state, id, cores, memory, hostname. */
const STATE = 0,
  ID = 4,
  CORES = 8,
  MEMORY = 16,
  HOSTNAME = 24,
  BYTES = 152;

export function rank(): i32 {
  const id = dmi.rank();
  if (id < 0) fail('rank');
  return id;
}

export function nodes(): Node[] {
  // Some may join between the two calls: then they are in the next list.
  const capacity = dmi.nodes(0, 0);
  if (capacity < 0) fail('nodes');
  const raw = new StaticArray<u8>(capacity * BYTES);
  const n = dmi.nodes(changetype<usize>(raw), capacity);
  if (n < 0) fail('nodes');
  const list: Node[] = [];
  for (let i = 0; i < n; i++) {
    const at = changetype<usize>(raw) + i * BYTES;
    list.push(
      new Node(
        load<i32>(at, ID),
        load<i32>(at, STATE),
        load<i32>(at, CORES),
        load<i64>(at, MEMORY),
        String.UTF8.decodeUnsafe(at + HOSTNAME, 128, true),
      ),
    );
  }
  return list;
}

export function rescale(arg: i64, initialNodes: i32 = 1, threadsPerNode: i32 = 0): void {
  if (!dmi.rescale(arg, initialNodes, threadsPerNode)) fail('rescale');
}

export function checkRescale(): bool {
  const answer = dmi.checkRescale();
  if (!answer) fail('checkRescale');
  return answer > 1;
}
