// Ends in a way that the first argument chooses, from a function inside a thread.
import { programArguments, Thread } from '@dmi/as';

class Point {
  next: Point | null = null;
  constructor(public x: f64) {}
}

function index(list: Float64Array, i: i32): f64 {
  return list[i];
}

// A C compiler would make a loop of it, and run for ever.
function deeper(n: i32): i32 {
  return deeper(n + 1) + n;
}

function hoard(): i32 {
  const all: Float64Array[] = [];
  while (all.length < 10000) all.push(new Float64Array(1 << 20));
  return all.length;
}

function divide(a: i32, b: i32): i32 {
  return a / b;
}

function go(what: string): i64 {
  if (what == 'throw') throw new Error('the input is not a matrix');
  if (what == 'bounds') return index(new Float64Array(10), 10) as i64;
  if (what == 'null') return new Point(1).next!.x as i64;
  if (what == 'recursion') return deeper(0);
  if (what == 'memory') return hoard();
  if (what == 'division') return divide(7, what.length - 8);
  return 0;
}

function work(_: i64): i64 {
  return go('none');
}

export function thread(arg: i64): i64 {
  const whats = ['throw', 'bounds', 'null', 'recursion', 'memory', 'division'];
  return go(whats[arg as i32]);
}

export function main(args: string[]): i32 {
  Thread.spawn(work).join();
  Thread.start(i64.parse(args[0])).join();
  return 0;
}
