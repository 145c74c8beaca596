// The examples, each again and again until a file appears: again.ts FILE EXAMPLE [ARGUMENTS]. Every round checks its result itself.
import { fileExists } from '@dmi/as';
import { main as cg } from '../../examples/ts/cg';
import { main as jacobi } from '../../examples/ts/jacobi';
import { main as mandelbrot } from '../../examples/ts/mandelbrot';
import { main as pagerank } from '../../examples/ts/pagerank';
import { main as heap } from './heap';

function round(name: string, args: string[]): i32 {
  if (name == 'cg') return cg(args);
  if (name == 'jacobi') return jacobi(args);
  if (name == 'mandelbrot') return mandelbrot(args);
  if (name == 'pagerank') return pagerank(args);
  assert(name == 'heap', 'there is no such example');
  heap(args);
  return 0;
}

export function main(args: string[]): i32 {
  let status = 0;
  do {
    status = round(args[1], args.slice(2));
  } while (status == 0 && !fileExists(args[0]));
  return status;
}
