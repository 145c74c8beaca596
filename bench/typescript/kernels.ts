// The kernels of examples/ts in the loops that bench/guests/kernels.c has in C, and what a call of the library costs.
import { GlobalArray, WriteMode } from '@dmi/as';
import { addScaled, dot, multiply, scaleAndAdd } from '../../examples/ts/cg';
import { sweep } from '../../examples/ts/jacobi';

function report(name: string, value: f64, unit: string): void {
  console.log(`{"name":"${name}","value":${value},"unit":"${unit}"}`);
}

/** Whatever else the machine does only adds to what a kernel takes. */
function least(samples: StaticArray<f64>): f64 {
  let found = samples[0];
  for (let i = 1; i < samples.length; i++) found = Math.min(found, samples[i]);
  return found;
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
  return least(samples);
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
  let rr = dot(r, r, n);
  const samples = new StaticArray<f64>(100);
  for (let k = 0; k < samples.length; k++) {
    const from = now();
    multiply(start, column, value, p, q);
    const alpha = rr / dot(p, q, n);
    addScaled(u, alpha, p, n);
    addScaled(r, -alpha, q, n);
    const next = dot(r, r, n);
    scaleAndAdd(p, next / rr, r, n);
    rr = next;
    samples[k] = now() - from;
  }
  assert(u[n / 2] != 0);
  return least(samples);
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
  return least(batches);
}

export function main(): void {
  report('ts-jacobi-vs-c', jacobi(), 'ns');
  report('ts-cg-vs-c', cg(), 'ns');
  report('ts-call', call(), 'ns');
}
