// Much garbage, and a heap that must survive it: trees, maps, strings and arrays, checked against what they are made of.
import { Thread, threads, yieldNow } from '@dmi/as';

class Tree {
  left: Tree | null = null;
  right: Tree | null = null;
  constructor(public value: i32) {}
}

function build(depth: i32, value: i32): Tree {
  const tree = new Tree(value);
  if (depth > 0) {
    tree.left = build(depth - 1, 2 * value);
    tree.right = build(depth - 1, 2 * value + 1);
  }
  return tree;
}

function sum(tree: Tree | null): i64 {
  return tree ? (tree.value as i64) + sum(tree.left) + sum(tree.right) : 0;
}

/** Something in a module variable, reachable from nowhere else. */
const kept = new Map<string, Float64Array>();

function rounds(n: i64): i64 {
  const oldest = build(12, 1);
  const texts: string[] = [];
  for (let round = 0; round < (n as i32); round++) {
    const tree = build(10, 1);
    assert(sum(tree) == 2096128, 'a tree has changed');
    const numbers = new Float64Array(1000);
    for (let i = 0; i < numbers.length; i++) numbers[i] = round * i;
    kept.set('round ' + (round % 7).toString(), numbers);
    texts.push(round.toString() + '!');
    if (texts.length > 50) texts.shift();
    if (round % 16 == 0) yieldNow();
  }
  let total: f64 = 0;
  const names = kept.keys();
  for (let i = 0; i < names.length; i++) {
    const numbers = kept.get(names[i]);
    for (let k = 0; k < numbers.length; k++) total += numbers[k];
  }
  assert(sum(oldest) == 33550336, 'the oldest tree has changed');
  assert(texts[texts.length - 1] == ((n as i32) - 1).toString() + '!', 'a text has changed');
  return total as i64;
}

export function main(args: string[]): void {
  const n = args.length > 0 ? i64.parse(args[0]) : 300;
  const started: Thread[] = [];
  for (let i = 0; i < threads(); i++) started.push(Thread.spawn(rounds, n));
  let last: i64 = 0;
  for (let r = n - 7; r < n; r++) last += r * 499500;
  for (let i = 0; i < started.length; i++) assert(started[i].join() == last, 'a sum is wrong');
  console.log(`${started.length} heaps are whole`);
}
