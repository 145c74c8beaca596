// pagerank: how important each page of a web is, by power iteration; which pages link to which is irregular.
//
//   dmi run --local 4 -n 16 examples/ts/pagerank.ts [PAGES [ITERATIONS]]        default 20000, 60
//
// Pages are divided into blocks, one per thread. A thread computes the rank of its own pages; for those that link to them from other
// blocks it says once, in a read-write-set, that it will read them: after that one write and one read per iteration exchange exactly
// what is needed. The links come from a generator with a fixed seed. The result is compared bit by bit with a sequential computation.
import { Atomic, Barrier, GlobalArray, Op, ReadWriteSet, Shared, Thread, threads, yieldNow } from '@dmi/as';

const DAMPING: f64 = 0.85;

class Job {
  pages: i32 = 0;
  iterations: i32 = 0;
  threads: i32 = 0;
  nextRank: i64 = 0;
  barrier: i64 = 0;
  shares: i64 = 0; // rank / number of links of each page
  result: i64 = 0;
}

function firstPage(job: Job, rank: i32): i32 {
  return (((rank as i64) * job.pages) / job.threads) as i32;
}

/** A generator that gives the same links in every thread. */
class Random {
  constructor(private state: u64) {}
  next(): u32 {
    this.state = this.state * 6364136223846793005 + 1442695040888963407;
    return (this.state >> 33) as u32;
  }
}

/** How many links page `from` has, and where they go: few pages are linked to by many. */
function links(from: i32, pages: i32, to: StaticArray<i32>): i32 {
  const random = new Random(((from as u64) + 1) * 2654435761);
  const n = 1 + ((random.next() % 16) as i32);
  for (let k = 0; k < n; k++) {
    const x = (random.next() as f64) / 2147483648.0;
    to[k] = (((pages as f64) * x * x * x) as i32) % pages;
  }
  return n;
}

/** The links into pages [first, end), page by page: `from[start[p - first] …]`. */
class Incoming {
  start: StaticArray<i32>;
  from: StaticArray<i32>;
  /** Number of links out of each own page. */
  out: StaticArray<i32>;

  constructor(pages: i32, first: i32, end: i32) {
    const to = new StaticArray<i32>(16);
    const start = new StaticArray<i32>(end - first + 1);
    const out = new StaticArray<i32>(end - first);
    for (let page = 0; page < pages; page++) {
      const n = links(page, pages, to);
      if (page >= first && page < end) out[page - first] = n;
      for (let k = 0; k < n; k++) if (to[k] >= first && to[k] < end) start[to[k] - first + 1]++;
    }
    for (let p = 0; p < end - first; p++) start[p + 1] += start[p];
    const at = start.slice<StaticArray<i32>>();
    const from = new StaticArray<i32>(start[end - first]);
    for (let page = 0; page < pages; page++) {
      const n = links(page, pages, to);
      for (let k = 0; k < n; k++) if (to[k] >= first && to[k] < end) from[at[to[k] - first]++] = page;
    }
    this.start = start;
    this.from = from;
    this.out = out;
  }
}

/** One step: the ranks of the own pages, from the shares at places `from`. The largest change. */
function step(
  web: Incoming,
  from: StaticArray<i32>,
  shares: StaticArray<f64>,
  ranks: StaticArray<f64>,
  pages: i32,
): f64 {
  let change: f64 = 0;
  for (let p = 0; p < ranks.length; p++) {
    let sum: f64 = 0;
    for (let k = web.start[p]; k < web.start[p + 1]; k++) sum += shares[from[k]];
    const rank = (1.0 - DAMPING) / (pages as f64) + DAMPING * sum;
    const d = Math.abs(rank - ranks[p]);
    if (d > change) change = d;
    ranks[p] = rank;
  }
  return change;
}

function work(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  const rank = Atomic.at<i64>(job.nextRank).add(1) as i32;
  const barrier = Barrier.at(job.barrier);
  const first = firstPage(job, rank);
  const own = firstPage(job, rank + 1) - first;
  const web = new Incoming(job.pages, first, first + own);

  // Pages of other blocks whose shares are read, each once, and where they will be: behind the own ones.
  const place = new Map<i32, i32>();
  const wanted = new Array<i64>();
  const from = new StaticArray<i32>(web.from.length);
  for (let k = 0; k < from.length; k++) {
    const page = web.from[k];
    if (page >= first && page < first + own) {
      from[k] = page - first;
    } else {
      if (!place.has(page)) {
        place.set(page, own + wanted.length);
        wanted.push(page);
      }
      from[k] = place.get(page);
    }
  }
  const mine = new StaticArray<i64>(own);
  for (let p = 0; p < own; p++) mine[p] = first + p;
  const exchange = ReadWriteSet.at<f64>(job.shares).join(rank, mine, StaticArray.fromArray<i64>(wanted));

  const ranks = new StaticArray<f64>(own);
  ranks.fill(1.0 / (job.pages as f64));
  const shares = new StaticArray<f64>(own + wanted.length);
  const others = new StaticArray<f64>(wanted.length);
  for (let i = 0; i < job.iterations; i++) {
    for (let p = 0; p < own; p++) shares[p] = ranks[p] / (web.out[p] as f64);
    exchange.write(shares);
    barrier.sync();
    exchange.read(others);
    for (let k = 0; k < others.length; k++) shares[own + k] = others[k];
    const change = step(web, from, shares, ranks, job.pages);
    // Also keeps the next write behind every read.
    const most = barrier.allreduce<f64>(change, Op.Max);
    if (rank == 0 && i % 20 == 19) console.log(`iteration ${i + 1}: largest change ${most}`);
    yieldNow();
  }
  GlobalArray.at<f64>(job.result).write(first, ranks);
  return wanted.length;
}

/** The same by one thread. */
function sequential(job: Job): StaticArray<f64> {
  const web = new Incoming(job.pages, 0, job.pages);
  const ranks = new StaticArray<f64>(job.pages);
  ranks.fill(1.0 / (job.pages as f64));
  const shares = new StaticArray<f64>(job.pages);
  for (let i = 0; i < job.iterations; i++) {
    for (let p = 0; p < job.pages; p++) shares[p] = ranks[p] / (web.out[p] as f64);
    step(web, web.from, shares, ranks, job.pages);
  }
  return ranks;
}

export function main(args: string[]): i32 {
  const job = new Job();
  job.pages = args.length > 0 ? i32.parse(args[0]) : 20000;
  job.iterations = args.length > 1 ? i32.parse(args[1]) : 60;
  if (job.pages < 1 || job.iterations < 0) {
    console.error('usage: pagerank.ts [PAGES [ITERATIONS]]');
    return 2;
  }
  job.threads = threads() < job.pages ? threads() : job.pages;
  job.nextRank = new Atomic<i64>(0).address;
  job.barrier = new Barrier(job.threads).address;
  job.shares = new ReadWriteSet<f64>(job.pages, job.threads).address;
  const result = new GlobalArray<f64>(job.pages);
  job.result = result.address;
  const shared = new Shared<Job>(job);
  const started = new Array<Thread>();
  for (let i = 0; i < job.threads; i++) started.push(Thread.spawn(work, shared.address));
  let exchanged: i64 = 0;
  for (let i = 0; i < started.length; i++) exchanged += started[i].join();

  const ranks = result.view(0, job.pages);
  const expected = sequential(job);
  let best = 0;
  for (let p = 0; p < job.pages; p++) {
    if (ranks[p] != expected[p]) {
      console.error(`pagerank: page ${p} has ${ranks[p]}, sequentially ${expected[p]}`);
      return 1;
    }
    if (ranks[p] > ranks[best]) best = p;
  }
  console.log(
    `${job.pages} pages, ${exchanged} values exchanged per iteration by ${job.threads} threads; page ${best} leads with ${ranks[best]}`,
  );
  console.log('same as sequential');
  return 0;
}
