export { Agent, type AgentEnd, type AgentOptions } from './agent.js';
export { findHostBinary } from './host-binary.js';
export { cpuFeatures, defaultCores, defaultMemory, defaultName } from './machine.js';
export { parseSpot, type SpotNotice, type SpotSource } from './spot/source.js';
