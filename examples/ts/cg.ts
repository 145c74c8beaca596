// cg: solves K u = f by preconditioned conjugate gradients, with the two sums per iteration of the finite-element example's solver.
//
//   dmi run --local 4 -n 16 examples/ts/cg.ts FILE.mtx [TIMES]     a symmetric positive definite matrix, in Matrix Market format
//   dmi run --local 4 -n 16 examples/ts/cg.ts [N [TIMES]]          that of heat in a cube of N x N x N points, default 24
//
// Rows are divided into blocks, one per thread. The values of other blocks that a row refers to come through a read-write-set. f is
// chosen so that the solution is known: u = 1, 2, 3, 1, 2, 3 … It is solved TIMES times (default 1), as for
// as many steps of time. The result is compared with it, and with a sequential solution.
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
  times: i32 = 1;
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
}

/** y = K x, for a matrix by rows: those of row r are from start[r] to start[r + 1]. Columns must be within x. */
export function multiply(
  start: StaticArray<i32>,
  column: StaticArray<i32>,
  value: StaticArray<f64>,
  x: StaticArray<f64>,
  y: StaticArray<f64>,
): void {
  const rows = start.length - 1;
  assert(y.length >= rows, 'a vector is too short');
  for (let r = 0; r < rows; r++) {
    let sum: f64 = 0;
    const end = unchecked(start[r + 1]);
    for (let k = unchecked(start[r]); k < end; k++) sum += unchecked(value[k]) * unchecked(x[unchecked(column[k])]);
    unchecked((y[r] = sum));
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

/** A Matrix Market file: its head, and each line after it as numbers. Row and column numbers begin at 1. */
class MatrixFile {
  private next: i32 = 0;
  private text: string;
  readonly rows: i32;
  readonly entries: i32;

  constructor(private name: string) {
    this.text = readFile(name);
    const head = this.line().toLowerCase();
    if (!head.startsWith('%%matrixmarket matrix coordinate real symmetric'))
      throw new Error(name + ' is no Matrix Market file of a real symmetric matrix in coordinates');
    const size = this.numbers();
    this.rows = size[0] as i32;
    this.entries = size[2] as i32;
    if (size[0] != size[1])
      throw new Error(`${name}: a matrix of ${size[0]} rows and ${size[1]} columns is not symmetric`);
  }

  private line(): string {
    let end = this.text.indexOf('\n', this.next);
    if (end < 0) end = this.text.length;
    const line = this.text.slice(this.next, end);
    this.next = end + 1;
    return line.trim();
  }

  /** The three numbers of the next line that is neither empty nor a comment. */
  numbers(): StaticArray<f64> {
    let line = '';
    while (this.next < this.text.length && (line.length == 0 || line.startsWith('%'))) line = this.line();
    const numbers = new StaticArray<f64>(3);
    const words = line.split(' ');
    let n = 0;
    for (let i = 0; i < words.length; i++)
      if (words[i].length > 0) {
        if (n < 3) numbers[n] = parseFloat(words[i]);
        n++;
      }
    if (n != 3) throw new Error(this.name + ': "' + line + '" is not three numbers');
    return numbers;
  }
}

function fileMatrix(name: string, first: i32, end: i32): Matrix {
  const rows: i32[] = [];
  const columns: i32[] = [];
  const values: f64[] = [];
  const file = new MatrixFile(name);
  for (let i = 0; i < file.entries; i++) {
    const entry = file.numbers();
    const r = (entry[0] as i32) - 1;
    const c = (entry[1] as i32) - 1;
    if (r < 0 || r >= file.rows || c < 0 || c >= file.rows)
      throw new Error(`${name}: row ${entry[0]}, column ${entry[1]} is not in a matrix of ${file.rows} rows`);
    // Only one triangle is in the file.
    if (r >= first && r < end) {
      rows.push(r);
      columns.push(c);
      values.push(entry[2]);
    }
    if (r != c && c >= first && c < end) {
      rows.push(c);
      columns.push(r);
      values.push(entry[2]);
    }
  }
  return new Matrix(rows, columns, values, first, end);
}

/** Of the first n elements; and so below. The assertions let the loops do without checks. */
export function dot(a: StaticArray<f64>, b: StaticArray<f64>, n: i32): f64 {
  let sum: f64 = 0;
  assert(a.length >= n && b.length >= n, 'a vector is too short');
  for (let i = 0; i < n; i++) sum += unchecked(a[i]) * unchecked(b[i]);
  return sum;
}

/** y += s x */
export function addScaled(y: StaticArray<f64>, s: f64, x: StaticArray<f64>, n: i32): void {
  assert(x.length >= n && y.length >= n, 'a vector is too short');
  for (let i = 0; i < n; i++) unchecked((y[i] = unchecked(y[i]) + s * unchecked(x[i])));
}

/** y = x + s y */
export function scaleAndAdd(y: StaticArray<f64>, s: f64, x: StaticArray<f64>, n: i32): void {
  assert(x.length >= n && y.length >= n, 'a vector is too short');
  for (let i = 0; i < n; i++) unchecked((y[i] = unchecked(x[i]) + s * unchecked(y[i])));
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
    scaleAndAdd(p, beta, z, n);
    for (let i = n; i < all; i++) p[i] = blocks.ghost[i - n] + beta * p[i];
    multiply(matrix.start, matrix.column, matrix.value, p, q);
    const pq = blocks.sum(dot(p, q, n));
    if (!(pq > 0)) throw new Error('the matrix is not positive definite');
    const alpha = rz / pq;
    addScaled(u, alpha, p, n);
    addScaled(r, -alpha, q, n);
    for (let i = 0; i < n; i++) z[i] = inverse[i] * r[i];
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
  const blocks = new Blocks(Barrier.at(job.barrier), exchange, ghosts.length);
  let solution = solve(matrix, f, blocks);
  for (let step = 1; step < job.times; step++) solution = solve(matrix, f, blocks);
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
  job.rows = inFile ? new MatrixFile(what).rows : job.side * job.side * job.side;
  if (args.length > 1) job.times = i32.parse(args[1]);
  if (job.rows < 1 || job.times < 1) {
    console.error('usage: cg.ts [N | FILE.mtx [TIMES]]');
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
