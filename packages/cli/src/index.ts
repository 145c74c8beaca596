export { LocalCluster, type LocalClusterOptions } from './local-cluster.js';
export { type ElfProgram, parseElf } from './program/elf.js';
export { type LoadedProgram, loadProgram } from './program/load.js';
export { makeSpec, type SpecOptions } from './spec.js';
