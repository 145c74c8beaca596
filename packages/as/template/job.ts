// Numerical integration by many threads: pi is the area under 4 / (1 + x²) from 0 to 1.
//
//   dmi run --local 4 -n 16 job.ts
import { Atomic, Barrier, Op, Shared, Thread, threads } from '@dmi/as';

/** What all threads know; they share it by its address. */
class Job {
  strips: i64 = 0;
  threads: i32 = 0;
  nextRank: i64 = 0;
  barrier: i64 = 0;
}

/** One thread's part: every `threads`-th strip. */
function work(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  const rank = Atomic.at<i64>(job.nextRank).add(1);
  const width: f64 = 1.0 / (job.strips as f64);
  let area: f64 = 0;
  for (let i = rank; i < job.strips; i += job.threads) {
    const x = ((i as f64) + 0.5) * width;
    area += (4.0 / (1.0 + x * x)) * width;
  }
  const pi = Barrier.at(job.barrier).allreduce<f64>(area, Op.Sum);
  if (rank == 0) console.log(`pi is about ${pi}`);
  return 0;
}

export function main(args: string[]): i32 {
  const job = new Job();
  job.strips = args.length > 0 ? i64.parse(args[0]) : 10000000;
  job.threads = threads();
  job.nextRank = new Atomic<i64>(0).address;
  job.barrier = new Barrier(job.threads).address;
  const shared = new Shared<Job>(job);
  const started: Thread[] = [];
  for (let i = 0; i < job.threads; i++) started.push(Thread.spawn(work, shared.address));
  for (let i = 0; i < started.length; i++) started[i].join();
  return 0;
}
