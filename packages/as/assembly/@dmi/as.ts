// @dmi/as: DMI for programs written in the AssemblyScript dialect of TypeScript. types/index.d.ts documents every name.
export { Atomic } from './as/atomic';
export { Barrier, Op } from './as/barrier';
export { appendFile, fileExists, readBytes, readFile, writeBytes, writeFile } from './as/file';
export { GlobalArray, Pending, ReadMode, WriteMode } from './as/global-array';
export { Group } from './as/group';
export { Condition, Mutex } from './as/lock';
export { checkRescale, Node, NodeState, nodes, rank, rescale } from './as/nodes';
export { arguments_ as programArguments, environment, exit, sleep, threads } from './as/program';
export { Exchange, ReadWriteSet } from './as/read-write-set';
export { Shared } from './as/shared';
export { Scheduler, Thread, yieldNow } from './as/thread';
