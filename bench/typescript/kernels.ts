// The kernels of examples/ts in the loops that bench/guests/kernels.c has in C, and what a call of the library costs.
import { GlobalArray, WriteMode } from '@dmi/as';
import { sweep } from '../../examples/ts/jacobi';

function report(name: string, value: f64, unit: string): void {
  console.log(`{"name":"${name}","value":${value},"unit":"${unit}"}`);
}

function median(samples: StaticArray<f64>): f64 {
  samples.sort((a: f64, b: f64): i32 => (a < b ? -1 : a > b ? 1 : 0));
  return samples[samples.length / 2];
}

function now(): f64 {
  return performance.now() * 1e6;
}

function jacobi(): f64 {
  const n = 64;
  const step = (n + 2) * (n + 2);
  let a = new StaticArray<f64>((n + 2) * step);
  let b = new StaticArray<f64>((n + 2) * step);
  for (let i = 0; i < step; i++) a[i] = (1 + (i % 7)) as f64;
  const samples = new StaticArray<f64>(200);
  let sink: f64 = 0;
  for (let k = 0; k < samples.length; k++) {
    const from = now();
    sink += sweep(a, b, n, n);
    samples[k] = now() - from;
    const t = a;
    a = b;
    b = t;
  }
  assert(sink > 0);
  return median(samples);
}

function multiply(
  start: StaticArray<i32>,
  column: StaticArray<i32>,
  value: StaticArray<f64>,
  x: StaticArray<f64>,
  y: StaticArray<f64>,
): void {
  for (let r = 0; r < start.length - 1; r++) {
    let sum: f64 = 0;
    for (let k = start[r]; k < start[r + 1]; k++) sum += unchecked(value[k]) * unchecked(x[unchecked(column[k])]);
    y[r] = sum;
  }
}

function dot(a: StaticArray<f64>, b: StaticArray<f64>): f64 {
  let sum: f64 = 0;
  assert(b.length >= a.length);
  for (let i = 0; i < a.length; i++) sum += unchecked(a[i]) * unchecked(b[i]);
  return sum;
}

/** y += a x */
function add(y: StaticArray<f64>, a: f64, x: StaticArray<f64>): void {
  assert(x.length >= y.length);
  for (let i = 0; i < y.length; i++) unchecked((y[i] = unchecked(y[i]) + a * unchecked(x[i])));
}

/** y = x + b y */
function scaleAdd(y: StaticArray<f64>, b: f64, x: StaticArray<f64>): void {
  assert(x.length >= y.length);
  for (let i = 0; i < y.length; i++) unchecked((y[i] = unchecked(x[i]) + b * unchecked(y[i])));
}

function cg(): f64 {
  const side = 40;
  const n = side * side * side;
  const steps: i32[] = [1, side, side * side];
  const start = new StaticArray<i32>(n + 1);
  const column = new StaticArray<i32>(7 * n);
  const value = new StaticArray<f64>(7 * n);
  let at = 0;
  for (let r = 0; r < n; r++) {
    start[r] = at;
    column[at] = r;
    value[at++] = 6;
    for (let axis = 0; axis < 3; axis++) {
      for (let d = -1; d <= 1; d += 2) {
        const place = ((r / steps[axis]) % side) + d;
        if (place < 0 || place >= side) continue;
        column[at] = r + d * steps[axis];
        value[at++] = -1;
      }
    }
  }
  start[n] = at;
  const u = new StaticArray<f64>(n);
  const r = new StaticArray<f64>(n);
  const p = new StaticArray<f64>(n);
  const q = new StaticArray<f64>(n);
  for (let i = 0; i < n; i++) r[i] = p[i] = (1 + (i % 3)) as f64;
  let rr = dot(r, r);
  const samples = new StaticArray<f64>(100);
  for (let k = 0; k < samples.length; k++) {
    const from = now();
    multiply(start, column, value, p, q);
    const alpha = rr / dot(p, q);
    add(u, alpha, p);
    add(r, -alpha, q);
    const next = dot(r, r);
    scaleAdd(p, next / rr, r);
    rr = next;
    samples[k] = now() - from;
  }
  assert(u[n / 2] != 0);
  return median(samples);
}

function call(): f64 {
  const cell = new GlobalArray<i64>(1, 1);
  cell.set(0, 1, WriteMode.Exclusive);
  const calls = 200000;
  const batches = new StaticArray<f64>(9);
  let sum: i64 = 0;
  for (let k = 0; k < batches.length; k++) {
    const from = now();
    for (let i = 0; i < calls; i++) sum += cell.get(0);
    batches[k] = (now() - from) / (calls as f64);
  }
  assert(sum == (calls as i64) * 9);
  return median(batches);
}

export function main(): void {
  report('ts-jacobi-vs-c', jacobi(), 'ns');
  report('ts-cg-vs-c', cg(), 'ns');
  report('ts-call', call(), 'ns');
}
