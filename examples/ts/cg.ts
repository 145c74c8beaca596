// cg: solves K u = f by preconditioned conjugate gradients, with the two sums per iteration of the finite-element example's solver.
//
//   dmi run --local 4 -n 16 examples/ts/cg.ts FILE.mtx        a symmetric positive definite matrix, in Matrix Market format
//   dmi run --local 4 -n 16 examples/ts/cg.ts [N]             that of heat in a cube of N x N x N points, default 24
//
// Rows are divided into blocks, one per thread. The values of other blocks that a row refers to come through a read-write-set. f is
// chosen so that the solution is known: u = 1, 2, 3, 1, 2, 3 … The result is compared with it, and with a sequential solution.
import {
  Atomic,
  Barrier,
  Exchange,
  GlobalArray,
  Op,
  ReadWriteSet,
  readFile,
  Shared,
  Thread,
  threads,
  yieldNow,
} from '@dmi/as';

const TOLERANCE: f64 = 1e-10;

class Job {
  rows: i32 = 0;
  side: i32 = 0; // of the cube; 0: the matrix is in the file
  threads: i32 = 0;
  nextRank: i64 = 0;
  barrier: i64 = 0;
  values: i64 = 0; // of the vector that is exchanged
  result: i64 = 0;
  file: i64 = 0; // the file's name, as a global array of characters
}

/** Rows [first, end) of a symmetric matrix, row by row. */
class Matrix {
  start: StaticArray<i32>;
  column: StaticArray<i32>;
  value: StaticArray<f64>;

  constructor(rows: i32[], columns: i32[], values: f64[], first: i32, end: i32) {
    const start = new StaticArray<i32>(end - first + 1);
    for (let k = 0; k < rows.length; k++) start[rows[k] - first + 1]++;
    for (let r = 0; r < end - first; r++) start[r + 1] += start[r];
    const at = start.slice<StaticArray<i32>>();
    const column = new StaticArray<i32>(rows.length);
    const value = new StaticArray<f64>(rows.length);
    for (let k = 0; k < rows.length; k++) {
      const place = at[rows[k] - first]++;
      column[place] = columns[k];
      value[place] = values[k];
    }
    this.start = start;
    this.column = column;
    this.value = value;
  }

  get rows(): i32 {
    return this.start.length - 1;
  }

  /** y = K x. */
  multiply(x: StaticArray<f64>, y: StaticArray<f64>): void {
    const start = this.start;
    const column = this.column;
    const value = this.value;
    for (let r = 0; r < start.length - 1; r++) {
      let sum: f64 = 0;
      // Within the matrix by construction, and its columns within x by `localColumns`.
      for (let k = start[r]; k < start[r + 1]; k++) sum += unchecked(value[k]) * unchecked(x[unchecked(column[k])]);
      y[r] = sum;
    }
  }
}

/** The Laplacian of a cube with `side` points per side and a fixed temperature around it. */
function cubeMatrix(side: i32, first: i32, end: i32): Matrix {
  const rows: i32[] = [];
  const columns: i32[] = [];
  const values: f64[] = [];
  const steps: i32[] = [1, side, side * side];
  for (let r = first; r < end; r++) {
    rows.push(r);
    columns.push(r);
    values.push(6.0);
    for (let axis = 0; axis < 3; axis++) {
      const at = (r / steps[axis]) % side;
      for (let direction = -1; direction <= 1; direction += 2) {
        if (at + direction < 0 || at + direction >= side) continue;
        rows.push(r);
        columns.push(r + direction * steps[axis]);
        values.push(-1.0);
      }
    }
  }
  return new Matrix(rows, columns, values, first, end);
}

/** Lines of a Matrix Market file that are not comments. */
function dataLines(name: string): string[] {
  const lines = readFile(name).split('\n');
  if (!lines[0].toLowerCase().startsWith('%%matrixmarket matrix coordinate real symmetric'))
    throw new Error(name + ' is no Matrix Market file of a real symmetric matrix in coordinates');
  const data: string[] = [];
  for (let i = 0; i < lines.length; i++) if (lines[i].length > 0 && !lines[i].startsWith('%')) data.push(lines[i]);
  return data;
}

/** The first line of a file: its number of rows. */
function fileRows(name: string): i32 {
  return parseInt(dataLines(name)[0].split(' ')[0]) as i32;
}

function fileMatrix(name: string, first: i32, end: i32): Matrix {
  const rows: i32[] = [];
  const columns: i32[] = [];
  const values: f64[] = [];
  const lines = dataLines(name);
  for (let i = 1; i < lines.length; i++) {
    const parts = lines[i].split(' ');
    if (parts.length < 3) throw new Error(name + ': "' + lines[i] + '" is not ROW COLUMN VALUE');
    const r = (parseInt(parts[0]) as i32) - 1;
    const c = (parseInt(parts[1]) as i32) - 1;
    const v = parseFloat(parts[2]);
    // Only one triangle is in the file.
    if (r >= first && r < end) {
      rows.push(r);
      columns.push(c);
      values.push(v);
    }
    if (r != c && c >= first && c < end) {
      rows.push(c);
      columns.push(r);
      values.push(v);
    }
  }
  return new Matrix(rows, columns, values, first, end);
}

function dot(a: StaticArray<f64>, b: StaticArray<f64>, n: i32): f64 {
  let sum: f64 = 0;
  assert(a.length >= n && b.length >= n, 'a vector is too short');
  for (let i = 0; i < n; i++) sum += unchecked(a[i]) * unchecked(b[i]);
  return sum;
}

/** How the blocks talk: nothing to do for a single one. */
class Blocks {
  ghost: StaticArray<f64>;
  constructor(
    private barrier: Barrier | null,
    private exchange: Exchange<f64> | null,
    ghosts: i32,
  ) {
    this.ghost = new StaticArray<f64>(ghosts);
  }
  sum(value: f64): f64 {
    const barrier = this.barrier;
    return barrier ? barrier.allreduce<f64>(value, Op.Sum) : value;
  }
  publish(values: StaticArray<f64>): void {
    const exchange = this.exchange;
    if (exchange) exchange.write(values);
  }
  fetch(): void {
    const exchange = this.exchange;
    if (exchange) exchange.read(this.ghost);
  }
}

class Solution {
  iterations: i32 = 0;
  constructor(public u: StaticArray<f64>) {}
}

/** u with K u = f; the matrix's columns are places in a vector of the own values and then the ghosts. */
function solve(matrix: Matrix, f: StaticArray<f64>, blocks: Blocks): Solution {
  const n = matrix.rows;
  const all = n + blocks.ghost.length;
  const solution = new Solution(new StaticArray<f64>(n));
  const u = solution.u;
  const r = f.slice<StaticArray<f64>>();
  const z = new StaticArray<f64>(n);
  const q = new StaticArray<f64>(n);
  const p = new StaticArray<f64>(all);
  const inverse = new StaticArray<f64>(n);
  for (let i = 0; i < n; i++)
    for (let k = matrix.start[i]; k < matrix.start[i + 1]; k++)
      if (matrix.column[k] == i) inverse[i] = 1.0 / matrix.value[k];

  const norm = blocks.sum(dot(f, f, n));
  for (let i = 0; i < n; i++) z[i] = inverse[i] * r[i];
  blocks.publish(z);
  let rz = blocks.sum(dot(r, z, n));
  let before: f64 = 0;
  while (solution.iterations < 10000) {
    blocks.fetch();
    const beta = solution.iterations == 0 ? 0.0 : rz / before;
    for (let i = 0; i < n; i++) p[i] = z[i] + beta * p[i];
    for (let i = n; i < all; i++) p[i] = blocks.ghost[i - n] + beta * p[i];
    matrix.multiply(p, q);
    const pq = blocks.sum(dot(p, q, n));
    if (!(pq > 0)) throw new Error('the matrix is not positive definite');
    const alpha = rz / pq;
    for (let i = 0; i < n; i++) {
      u[i] += alpha * p[i];
      r[i] -= alpha * q[i];
      z[i] = inverse[i] * r[i];
    }
    blocks.publish(z);
    before = rz;
    rz = blocks.sum(dot(r, z, n));
    solution.iterations++;
    if (solution.iterations % 10 == 0 && Math.sqrt(blocks.sum(dot(r, r, n)) / norm) <= TOLERANCE) break;
    yieldNow();
  }
  return solution;
}

function known(row: i32): f64 {
  return (1 + (row % 3)) as f64;
}

function rightSide(matrix: Matrix): StaticArray<f64> {
  const f = new StaticArray<f64>(matrix.rows);
  for (let r = 0; r < f.length; r++)
    for (let k = matrix.start[r]; k < matrix.start[r + 1]; k++) f[r] += matrix.value[k] * known(matrix.column[k]);
  return f;
}

function fileName(address: i64): string {
  const characters = GlobalArray.at<u16>(address);
  let name = '';
  for (let i: i64 = 0; i < characters.length; i++) name += String.fromCharCode(characters.get(i));
  return name;
}

function work(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  const rank = Atomic.at<i64>(job.nextRank).add(1) as i32;
  const first = (((rank as i64) * job.rows) / job.threads) as i32;
  const end = ((((rank as i64) + 1) * job.rows) / job.threads) as i32;
  const own = end - first;
  const matrix = job.side > 0 ? cubeMatrix(job.side, first, end) : fileMatrix(fileName(job.file), first, end);
  const f = rightSide(matrix);

  // From columns of the whole to places here: own values first, then those of other blocks.
  const place = new Map<i32, i32>();
  const ghosts: i64[] = [];
  for (let k = 0; k < matrix.column.length; k++) {
    const column = matrix.column[k];
    if (column >= first && column < end) {
      matrix.column[k] = column - first;
      continue;
    }
    if (!place.has(column)) {
      place.set(column, own + ghosts.length);
      ghosts.push(column);
    }
    matrix.column[k] = place.get(column);
  }
  const mine = new StaticArray<i64>(own);
  for (let i = 0; i < own; i++) mine[i] = first + i;
  const exchange = ReadWriteSet.at<f64>(job.values).join(rank, mine, StaticArray.fromArray<i64>(ghosts));
  const solution = solve(matrix, f, new Blocks(Barrier.at(job.barrier), exchange, ghosts.length));
  GlobalArray.at<f64>(job.result).write(first, solution.u);
  return solution.iterations;
}

/** The largest difference from the known solution, relative to its largest value. */
function difference(u: StaticArray<f64>): f64 {
  let most: f64 = 0;
  for (let r = 0; r < u.length; r++) most = Math.max(most, Math.abs(u[r] - known(r)));
  return most / 3.0;
}

export function main(args: string[]): i32 {
  const job = new Job();
  const what = args.length > 0 ? args[0] : '24';
  const inFile = what.endsWith('.mtx');
  if (!inFile) job.side = i32.parse(what);
  job.rows = inFile ? fileRows(what) : job.side * job.side * job.side;
  if (job.rows < 1) {
    console.error('usage: cg.ts [N | FILE.mtx]');
    return 2;
  }
  if (inFile) {
    const characters = new StaticArray<u16>(what.length);
    for (let i = 0; i < what.length; i++) characters[i] = what.charCodeAt(i) as u16;
    job.file = GlobalArray.of<u16>(characters).address;
  }
  job.threads = threads() < job.rows ? threads() : job.rows;
  job.nextRank = new Atomic<i64>(0).address;
  job.barrier = new Barrier(job.threads).address;
  job.values = new ReadWriteSet<f64>(job.rows, job.threads).address;
  const result = new GlobalArray<f64>(job.rows);
  job.result = result.address;
  const shared = new Shared<Job>(job);
  const started = new Array<Thread>();
  for (let i = 0; i < job.threads; i++) started.push(Thread.spawn(work, shared.address));
  let iterations: i64 = 0;
  for (let i = 0; i < started.length; i++) iterations = started[i].join();
  const u = result.view(0, job.rows);

  const whole = job.side > 0 ? cubeMatrix(job.side, 0, job.rows) : fileMatrix(what, 0, job.rows);
  const alone = solve(whole, rightSide(whole), new Blocks(null, null, 0));
  let apart: f64 = 0;
  for (let r = 0; r < job.rows; r++) apart = Math.max(apart, Math.abs(u[r] - alone.u[r]));
  console.log(`${job.rows} rows, ${job.threads} threads: ${iterations} iterations, sequentially ${alone.iterations}`);
  console.log(`off the known solution by ${difference(u)}, off the sequential one by ${apart / 3.0}`);
  if (!(difference(u) < 1e-8) || !(apart / 3.0 < 1e-8)) {
    console.error('cg: the solution is wrong');
    return 1;
  }
  console.log('same as sequential');
  return 0;
}
