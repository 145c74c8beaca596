// Compiles an example, or finds it in the cache; prints how long that took, in ns: what `dmi run` has to wait for.
import { buildProgram } from '@dmi/as/compiler';

const start = performance.now();
await buildProgram('examples/ts/jacobi.ts');
process.stdout.write(`${Math.round((performance.now() - start) * 1e6)}\n`);
