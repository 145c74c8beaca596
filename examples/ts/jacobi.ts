// jacobi: heat in a cube with one hot face, by Jacobi iteration over many threads that exchange the faces of their slabs.
//
//   dmi run --local 4 -n 16 examples/ts/jacobi.ts [N [ITERATIONS]]        default 64, 200
//
// The cube has N x N x N inner points, cut into slabs along z, one per thread (dmi run -n). A slab lives in its thread's own
// memory and moves with it; its two faces are published in global memory after each iteration, and the neighbours fetch them. Two
// sets of faces alternate, so one barrier per iteration is enough. At the end the cube is gathered and compared bit by bit with a
// sequential run: however threads move, the answer is the same.
import {
  Atomic,
  Barrier,
  exit,
  GlobalArray,
  Op,
  rank as node,
  Shared,
  Thread,
  threads,
  WriteMode,
  yieldNow,
} from '@dmi/as';

/** What all threads know. */
class Job {
  n: i32 = 0; // inner points per side
  iterations: i32 = 0;
  threads: i32 = 0;
  nextRank: i64 = 0;
  barrier: i64 = 0;
  faces: i64 = 0; // [parity][rank][bottom, top], one page each
  cube: i64 = 0; // the result: n planes
}

/** Values of a plane, with the boundary around. */
function plane(n: i32): i32 {
  return (n + 2) * (n + 2);
}

function firstPlane(job: Job, rank: i32): i32 {
  return (((rank as i64) * job.n) / job.threads) as i32;
}

/** Where in `faces` a face begins. */
function face(job: Job, parity: i32, rank: i32, top: i32): i64 {
  return (((parity * job.threads + rank) * 2 + top) as i64) * plane(job.n);
}

/** One sweep over `planes` inner planes; a and b have one more on each side. The largest change. */
export function sweep(a: StaticArray<f64>, b: StaticArray<f64>, planes: i32, n: i32): f64 {
  const row = n + 2;
  const step = row * row;
  let change: f64 = 0;
  // Every index below is within (planes + 2) planes, so the accesses need no checks.
  assert(a.length >= (planes + 2) * step && b.length >= (planes + 2) * step, 'a slab is too short');
  for (let z = 1; z <= planes; z++) {
    for (let y = 1; y <= n; y++) {
      const start = z * step + y * row;
      for (let i = start + 1; i <= start + n; i++) {
        const sides = unchecked(a[i - 1]) + unchecked(a[i + 1]) + unchecked(a[i - row]) + unchecked(a[i + row]);
        const value = (sides + unchecked(a[i - step]) + unchecked(a[i + step])) * (1.0 / 6.0);
        unchecked((b[i] = value));
        const d = Math.abs(value - unchecked(a[i]));
        if (d > change) change = d;
      }
    }
  }
  return change;
}

/** A slab of zeros with its boundary; the hot face is below the cube's first plane: 1, warmer towards one corner. */
export function newSlab(planes: i32, n: i32, atTheBottom: bool): StaticArray<f64> {
  const a = new StaticArray<f64>((planes + 2) * plane(n));
  if (!atTheBottom) return a;
  for (let y = 1; y <= n; y++)
    for (let x = 1; x <= n; x++) a[y * (n + 2) + x] = 1.0 + ((x * y) as f64) / ((n * n) as f64);
  return a;
}

/** Publishes this slab's faces, waits for everybody's, and fetches the neighbours'. */
function exchange(
  job: Job,
  rank: i32,
  parity: i32,
  a: StaticArray<f64>,
  planes: i32,
  faces: GlobalArray<f64>,
  barrier: Barrier,
): void {
  const step = plane(job.n);
  faces.write(face(job, parity, rank, 0), a, step, step, WriteMode.Exclusive);
  faces.write(face(job, parity, rank, 1), a, planes * step, step, WriteMode.Exclusive);
  barrier.sync();
  const below = rank > 0 ? faces.readAsync(face(job, parity, rank - 1, 1), a, 0, step) : null;
  const above =
    rank < job.threads - 1 ? faces.readAsync(face(job, parity, rank + 1, 0), a, (planes + 1) * step, step) : null;
  if (below) below.wait();
  if (above) above.wait();
}

/** One slab, from the beginning to the end; gives how often it noticed that it had moved. */
function work(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  const rank = Atomic.at<i64>(job.nextRank).add(1) as i32;
  const barrier = Barrier.at(job.barrier);
  const faces = GlobalArray.at<f64>(job.faces);
  const first = firstPlane(job, rank);
  const planes = firstPlane(job, rank + 1) - first;
  let a = newSlab(planes, job.n, rank == 0);
  let b = newSlab(planes, job.n, rank == 0);
  let moves: i64 = 0;
  let before = node();
  for (let i = 0; i < job.iterations; i++) {
    const change = sweep(a, b, planes, job.n);
    const t = a;
    a = b;
    b = t;
    exchange(job, rank, i % 2, a, planes, faces, barrier);
    if (i % 50 == 49) {
      const most = barrier.allreduce<f64>(change, Op.Max);
      if (rank == 0) console.log(`iteration ${i + 1}: largest change ${most}`);
    }
    yieldNow();
    const here = node();
    if (here != before) moves++;
    before = here;
  }
  GlobalArray.at<f64>(job.cube).write((first as i64) * plane(job.n), a, plane(job.n), planes * plane(job.n));
  return moves;
}

/** The same computation by one thread: its last cube. */
function sequential(n: i32, iterations: i32): StaticArray<f64> {
  let a = newSlab(n, n, true);
  let b = newSlab(n, n, true);
  for (let i = 0; i < iterations; i++) {
    sweep(a, b, n, n);
    const t = a;
    a = b;
    b = t;
  }
  return a;
}

export function main(args: string[]): i32 {
  const job = new Job();
  job.n = args.length > 0 ? i32.parse(args[0]) : 64;
  job.iterations = args.length > 1 ? i32.parse(args[1]) : 200;
  if (job.n < 1 || job.n > 400 || job.iterations < 0) {
    console.error('usage: jacobi.ts [N [ITERATIONS]], N at most 400');
    exit(2);
  }
  job.threads = threads() < job.n ? threads() : job.n; // at least a plane each
  job.nextRank = new Atomic<i64>(0).address;
  job.barrier = new Barrier(job.threads).address;
  job.faces = new GlobalArray<f64>((4 * job.threads * plane(job.n)) as i64, plane(job.n)).address;
  const cube = new GlobalArray<f64>((job.n as i64) * plane(job.n), plane(job.n));
  job.cube = cube.address;
  const shared = new Shared<Job>(job);

  const start = performance.now();
  const started = new Array<Thread>();
  for (let i = 0; i < job.threads; i++) started.push(Thread.spawn(work, shared.address));
  let moves: i64 = 0;
  for (let i = 0; i < started.length; i++) moves += started[i].join();
  const seconds = (performance.now() - start) / 1000;
  console.log(`${job.n}^3 points, ${job.iterations} iterations, ${job.threads} threads: ${seconds} s, ${moves} moves`);

  const expected = sequential(job.n, job.iterations);
  const found = cube.view(0, job.n * plane(job.n));
  for (let i = 0; i < found.length; i++) {
    if (found[i] != expected[i + plane(job.n)]) {
      console.error(
        `jacobi: value ${i} differs from the sequential one: ${found[i]}, not ${expected[i + plane(job.n)]}`,
      );
      return 1;
    }
  }
  console.log('same as sequential');
  return 0;
}
