export { Attachment } from './client/attachment.js';
export { Client, type ClientOptions } from './client/client.js';
export type { OpenInput } from './client/input.js';
export { Job, type JobResult, type OutputPiece } from './client/job.js';
export type { ClusterEvent } from './cluster/events.js';
export { type Loads, noLoads, noteLoads, type ThreadLoad } from './cluster/loads.js';
export type { ClusterSettings } from './cluster/state.js';
export * from './constants.js';
export { asDmiError, DmiError, type DmiErrorOptions, type ErrorCode } from './errors.js';
export { resolvePrefix, shortId } from './ids.js';
export { defaultImageDir, hashFile, ImageStore, type ImageWriter, MAX_IMAGE } from './images/store.js';
export { type BalanceOptions, balanceOptions, DEFAULT_BALANCE, POLICIES, type PolicyName } from './plan/options.js';
export { plan } from './plan/policy.js';
export type { PlanNode, PlannedMove, PlanThread, Sharing, Snapshot } from './plan/snapshot.js';
export { placeNew } from './plan/targets.js';
export { HostMemory } from './recovery/host-memory.js';
export { Coordinator, type CoordinatorOptions, isLoopback, parseListen } from './server/coordinator.js';
export { openStore, type StoreOptions } from './store/open.js';
export type { Candidate, Store, Term, Waiting } from './store/store.js';
export {
  type AgentBody,
  type CoordinatorBody,
  type FromAgent,
  type HostReport,
  type JobOutcome,
  type NodeInfo,
  type ToAgent,
  toAgent,
} from './wire/agent-messages.js';
export type { JobRow, NodeRow, PlanRow, StackAnswer, ThreadRow } from './wire/client-messages.js';
export { check, decode, encode, messageName } from './wire/codec.js';
export { type ConnectOptions, connect, parseAddress } from './wire/connect.js';
export { type FindOptions, findLeader, parseAddresses, type Terms } from './wire/find-leader.js';
export {
  FROM_HOST_NAMES,
  type FromHost,
  fromHost,
  type HostJobMessage,
  type MemberInfo,
  type ShardRange,
  type ToHost,
  type ViewChange,
} from './wire/host-messages.js';
export type { JobSpec, ProgramFile } from './wire/job-spec.js';
export { type Frame, Link } from './wire/link.js';
export { CLOSE, Peer } from './wire/peer.js';
export { type TlsFiles, tlsOfEnvironment } from './wire/tls.js';
