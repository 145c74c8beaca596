// hello: starts threads wherever there is room, and says where each runs.
//
//   dmi run --local 2 -n 4 examples/ts/hello.ts
import { nodes, rank, Thread, threads } from '@dmi/as';

/** The machine this thread is on at the moment; it may be another one a moment later. */
function where(): string {
  const here = rank();
  const all = nodes();
  for (let i = 0; i < all.length; i++) if (all[i].id == here) return `node ${here} (${all[i].hostname})`;
  return `node ${here}`;
}

function greet(number: i64): i64 {
  console.log(`hello from ${number}: thread ${Thread.self().toString()} on ${where()}`);
  return number * number; // what join gives
}

export function main(): void {
  const started: Thread[] = [];
  for (let i = 0; i < threads(); i++) started.push(Thread.spawn(greet, i));
  let sum: i64 = 0;
  for (let i = 0; i < started.length; i++) sum += started[i].join();
  console.log(`sum of squares: ${sum}`);
}
