// A thread that does nothing but wait is moved to another node: what is sent is what a thread is before it has data of its own.
import { sleep, Thread } from '@dmi/as';

function waits(_: i64): i64 {
  return Thread.suspend();
}

export function main(): i32 {
  const thread = Thread.spawn(waits, 0, 0);
  const moved = thread.moveTo(1);
  sleep(500); // the news of the move is on its way
  thread.wake(0);
  thread.join();
  return moved ? 0 : 1;
}
