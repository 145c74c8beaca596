// Threads that do nothing but wait, all on one node, until some have been moved to the other: what is sent is what a thread is before
// it has data of its own.
import { sleep, Thread } from '@dmi/as';

function waits(_: i64): i64 {
  return Thread.suspend();
}

export function main(): void {
  const started: Thread[] = [];
  for (let i = 0; i < 4; i++) started.push(Thread.spawn(waits, 0, 0));
  sleep(2000);
  for (let i = 0; i < 4; i++) started[i].wake(0);
  for (let i = 0; i < 4; i++) started[i].join();
}
