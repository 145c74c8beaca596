// Every part of the interface, used by several threads and checked; says "done" when all is as it should be.
import {
  appendFile,
  Atomic,
  Barrier,
  checkRescale,
  Condition,
  environment,
  fileExists,
  GlobalArray,
  Group,
  Mutex,
  nodes,
  NodeState,
  Op,
  Pending,
  programArguments,
  rank,
  readBytes,
  readFile,
  ReadMode,
  ReadWriteSet,
  rescale,
  Scheduler,
  Shared,
  sleep,
  Thread,
  threads,
  writeBytes,
  writeFile,
  WriteMode,
  yieldNow,
} from '@dmi/as';

function check(so: bool, what: string): void {
  if (!so) throw new Error(what);
}

class Job {
  n: i32 = 0;
  half: f64 = 0.5;
  ready: bool = false;
  counter: i64 = 0;
  mutex: i64 = 0;
  condition: i64 = 0;
  barrier: i64 = 0;
  numbers: i64 = 0;
  set: i64 = 0;
}

function arrays(): void {
  const a = new GlobalArray<f64>(1000, 64);
  check(a.length == 1000 && a.pageLength == 64 && a.get(999) == 0, 'a new array is zero');
  a.set(7, 1.5);
  a.set(8, 2.5, WriteMode.Exclusive);
  check(
    a.get(7) == 1.5 && a.get(8, ReadMode.Invalidate) == 2.5 && a.get(8, ReadMode.Update) == 2.5,
    'get gives what set has set',
  );
  a.fill(3, 10, 990);
  check(a.get(9) == 0 && a.get(10) == 3 && a.get(989) == 3 && a.get(990) == 0, 'fill keeps to its range');
  const part = new StaticArray<f64>(10);
  for (let i = 0; i < 10; i++) part[i] = i;
  a.write(100, part, 2, 5);
  const seen = a.view(99, 7);
  check(seen[0] == 3 && seen[1] == 2 && seen[5] == 6 && seen[6] == 3, 'write and view agree');
  const pending: Pending[] = [];
  for (let i = 0; i < 10; i++) pending.push(a.writeAsync(500 + i, part, i, 1));
  for (let i = 0; i < 10; i++) pending[i].wait();
  const into = new StaticArray<f64>(12);
  const reading = a.readAsync(500, into, 1, 10);
  while (!reading.done()) yieldNow();
  check(into[0] == 0 && into[1] == 0 && into[10] == 9 && into[11] == 0, 'asynchronous accesses arrive');
  a.take(0, 1000);
  a.pin(0, 1000);
  check(a.get(500) == 0 && a.get(501) == 1, 'pinned pages can be read');
  a.unpin(0, 1000);
  const again = GlobalArray.at<f64>(a.address);
  check(again.length == 1000 && again.get(7) == 1.5, 'an address names the array');
  check(a.add(7, 0.25) == 1.5 && a.get(7) == 1.75, 'add works on floats');
  const indices = new StaticArray<i64>(3);
  indices[0] = 900;
  indices[1] = 7;
  indices[2] = 505;
  const group = new Group<f64>(a, indices);
  const values = new StaticArray<f64>(3);
  group.read(values);
  check(values[0] == 3 && values[1] == 1.75 && values[2] == 5, 'a group gathers');
  values[2] = 77;
  group.write(values);
  group.writeAsync(values).wait();
  group.readAsync(values).wait();
  check(a.get(505) == 77 && group.length == 3, 'a group scatters');
  group.free();
  a.free();
  const bytes = GlobalArray.of<u8>(StaticArray.fromArray<u8>([1, 2, 3]));
  check(
    bytes.swap(1, 9) == 2 && bytes.compareAndSwap(1, 9, 5) && !bytes.compareAndSwap(1, 9, 6) && bytes.get(1) == 5,
    'bytes swap',
  );
  bytes.free();
}

function files(): void {
  const name = programArguments()[0];
  writeFile(name, 'Zürich 🚋\n');
  appendFile(name, 'more');
  check(readFile(name) == 'Zürich 🚋\nmore', 'a file has what was written');
  const bytes = readBytes(name);
  bytes[0] = 65;
  writeBytes(name, bytes);
  check(readFile(name).startsWith('Aürich') && fileExists(name) && !fileExists(name + '.not'), 'bytes are bytes');
  const home = environment('DMI_TEST_WORD');
  check(home !== null && home == 'späte' && environment('DMI_TEST_NOT') === null, 'the environment is that of dmi run');
}

/** Started by the exported name, with numbers that need more than 48 bits. */
export function thread(arg: i64): i64 {
  return arg + 1;
}

/** Goes to another node by itself. */
function goes(node: i64): i64 {
  check(rank() == 0, 'a thread starts where it is told to');
  check(Thread.self().moveTo(node as i32) && rank() == (node as i32), 'a thread moves itself');
  return rank();
}

function large(arg: i64): i64 {
  return ~arg;
}

function waits(address: i64): i64 {
  Atomic.at<i64>(address).store(1);
  return Thread.suspend() * 2;
}

/** One of n threads that meet in every way there is. */
function member(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  check(job.half == 0.5 && job.ready, 'a shared object has its fields');
  const me = Atomic.at<i64>(job.counter).add(1) as i32;
  const mutex = Mutex.at(job.mutex);
  const numbers = GlobalArray.at<i32>(job.numbers);
  for (let i = 0; i < 50; i++) {
    mutex.lock();
    numbers.set(0, numbers.get(0) + 1);
    mutex.unlock();
    numbers.add(1, 2);
  }
  const barrier = Barrier.at(job.barrier);
  barrier.sync();
  check(numbers.get(0) == 50 * job.n && numbers.get(1) == 100 * job.n, 'no addition is lost');
  check(barrier.allreduce<f64>(me as f64, Op.Max) == ((job.n - 1) as f64), 'allreduce gives the largest');
  check(barrier.allreduce<i32>(me + 1, Op.Sum) == (job.n * (job.n + 1)) / 2, 'allreduce gives the sum');
  check(barrier.allreduce<i64>(-me as i64, Op.Min) == ((1 - job.n) as i64), 'allreduce gives the least');

  // A condition: the last to come wakes the others.
  const condition = Condition.at(job.condition);
  mutex.lock();
  numbers.set(2, numbers.get(2) + 1);
  if (numbers.get(2) == job.n) condition.broadcast();
  else while (numbers.get(2) < job.n) condition.wait(mutex);
  mutex.unlock();

  // Each writes its own element and reads its two neighbours'.
  const mine = new StaticArray<i64>(1);
  mine[0] = me;
  const neighbours = new StaticArray<i64>(2);
  neighbours[0] = (me + 1) % job.n;
  neighbours[1] = (me + job.n - 1) % job.n;
  const exchange = ReadWriteSet.at<f32>(job.set).join(me, mine, neighbours);
  const value = new StaticArray<f32>(1);
  value[0] = (me * 10) as f32;
  const near = new StaticArray<f32>(2);
  exchange.writeAsync(value).wait();
  barrier.sync();
  exchange.readAsync(near).wait();
  check(
    near[0] == ((neighbours[0] * 10) as f32) && near[1] == ((neighbours[1] * 10) as f32),
    'a read-write-set gives the neighbours',
  );
  barrier.sync();
  exchange.free();
  return me;
}

/** Ends at once the first time, so that rank 0 asks for another set; adds itself up. */
export function scaleunit(me: i32, n: i32, address: i64): i32 {
  const total = Atomic.at<i64>(address);
  check(!checkRescale() || n > 0, 'checkRescale answers');
  return total.add(1) < (n as i64) && me == 0 ? 1 : 0;
}

export function main(args: string[]): i32 {
  check(args.length == 2 && args[1] == 'zwei', 'arguments arrive');
  arrays();
  files();
  check(Thread.start(41).join() == 42, 'an exported thread runs');
  const wide: i64 = 0x123456789abcdef;
  check(Thread.spawn(large, wide).join() == ~wide, 'an argument may have 64 bits');

  const all = nodes();
  check(
    all.length == 2 && all[1].state == NodeState.Opened && all[1].cores == 1 && all[1].memory > 0,
    'the nodes are known',
  );
  check(rank() == 0 && all[1].id == 1, 'rank is this node');
  const flag = new Atomic<i64>(0);
  const sleeper = Thread.spawn(waits, flag.address, 1);
  check(flag.waitWhile(0) == 1, 'waitWhile sees the change');
  sleep(20);
  Thread.at(sleeper.id).wake(21);
  check(sleeper.join() == 42, 'a message arrives');

  // Addresses grow with every mapping, and have more than 48 bits at last.
  const far: i64 = 0x1000000000000;
  let late = new GlobalArray<i64>(1);
  while (late.address < far) late = new GlobalArray<i64>(1);
  check(Thread.spawn(large, late.address).join() == ~late.address, 'an argument may be any address');
  check(Thread.spawn(goes, 1, 0).join() == 1, 'a thread has moved');

  const n = threads();
  const job = new Job();
  job.n = n;
  job.ready = true;
  job.counter = new Atomic<i64>(0).address;
  const mutex = new Mutex();
  job.mutex = mutex.address;
  check(mutex.tryLock(), 'a free mutex can be taken');
  mutex.unlock();
  job.condition = new Condition().address;
  job.barrier = new Barrier(n).address;
  job.numbers = new GlobalArray<i32>(4, 1).address;
  job.set = new ReadWriteSet<f32>(n, n).address;
  const shared = new Shared<Job>(job);
  const scheduler = new Scheduler();
  const ids: i32[] = [];
  for (let i = 0; i < n; i++) ids.push(scheduler.spawn(member, shared.address));
  let sum: i64 = 0;
  for (let i = 0; i < n; i++) sum += scheduler.join(ids[i]);
  check(sum == (((n * (n - 1)) / 2) as i64), 'every thread had a rank');
  scheduler.free();
  shared.free();
  mutex.free();

  const total = new Atomic<i64>(0);
  rescale(total.address, 2, 1);
  check(total.load() >= 2, 'a set of threads ran');
  console.log('done');
  return 0;
}
