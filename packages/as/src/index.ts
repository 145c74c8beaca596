export { type BuildOptions, type BuiltProgram, buildProgram } from './build.js';
export { isTypeScript } from './entry.js';
export { createProject } from './project.js';
export { missingTools } from './toolchain.js';
