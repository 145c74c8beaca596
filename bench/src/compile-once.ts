// Compiles an example, or finds it in the cache; prints how long that took, in ns, with loading the compiler.
const start = performance.now();
const { buildProgram } = await import('@dmi/as/compiler');
await buildProgram('examples/ts/jacobi.ts');
process.stdout.write(`${Math.round((performance.now() - start) * 1e6)}\n`);
