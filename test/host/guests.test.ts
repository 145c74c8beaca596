import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Guests, have, Job, lines, type Moved, until } from './harness.js';

// Whole programs, moved between two hosts again and again while they run.

/** A python that is position independent, or ''. */
function findPython(): string {
  try {
    const path = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
    return readFileSync(path).readUInt16LE(16) === 3 ? path : '';
  } catch {
    return '';
  }
}
const python = findPython();
const openblas =
  ['libopenblas.so.0', 'openblas-serial/libopenblas.so.0']
    .map(name => `/usr/lib/x86_64-linux-gnu/${name}`)
    .find(existsSync) ?? '';

const libpython = '/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0';
const guests = new Guests();
const pythons: [kind: string, build: () => string][] = [];
if (python) pythons.push(['executable', () => python]);
if (existsSync(libpython)) pythons.push(['library', () => guests.build('python.c', `-DLIBRARY="${libpython}"`)]);
let job: Job | undefined;
afterEach(() => job?.stop());
afterAll(() => guests.remove());

/** Runs one thread to its end on two hosts, moving it all the time. */
async function travel(program: string, argv: string[], options: { gap?: number; env?: string[]; cwd?: string } = {}) {
  const go = guests.file('go'); // guests that would end too soon wait for it, see bounce()
  job = await Job.start(program, { hosts: 2, argv: argv.map(a => a.replace('@GO@', go)), ...options });
  const thread = await job.thread();
  const end = await job.bounce(thread, { gap: options.gap ?? 1, go });
  expect([...end.failures.map(m => m.reason), ...job.hosts.flatMap(h => h.warnings())]).toEqual([]);
  return { ...end, thread, stdout: job.output(thread), stderr: job.output(thread, 2) };
}
/** The libraries a dynamic program is linked with, its loader included. */
const libraries = (program: string): string[] =>
  execFileSync('ldd', [program], { encoding: 'utf8' })
    .split('\n')
    .flatMap(line => /(\/\S+) \(/.exec(line)?.[1] ?? []);
/** What it printed, whichever host it printed it on, in any order. */
const sorted = (text: string): string[] =>
  text
    .split('\n')
    .filter(line => line !== '')
    .sort();
const numbered = (prefix: string, count: number, suffix = ''): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}${suffix}`);

describe('a program moved in the middle', () => {
  it.each([
    ['dynamic', []],
    ['static-pie', ['-static-pie']],
  ])('goes on as if nothing was: C, %s', async (_kind, flags) => {
    const end = await travel(guests.build('language.c', ...flags), ['40', '/usr/include/stdio.h', '@GO@']);
    expect(sorted(end.stdout)).toEqual([...numbered('round ', 40), 'done 45 87'].sort());
    expect(end.status).toBe(17);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.each([
    ['dynamic', []],
    ['static-pie', ['-static-pie']],
  ])('goes on as if nothing was: C++ with exceptions, iostream and thread_local, %s', async (_kind, flags) => {
    const end = await travel(guests.build('throws.cpp', ...flags), ['200', '@GO@']);
    expect(sorted(end.stdout)).toEqual([...numbered('round ', 200, ' 999500'), 'done 200 200'].sort());
    expect(end.status).toBe(23);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.each(['another', 'missing'])('takes along its executable and libraries where they are %s', async what => {
    const program = guests.build('language.c');
    const linked = libraries(program);
    const interpreter = linked.find(path => path.includes('ld-linux')); // without one that host would not start
    const ours = [program, ...linked];
    const theirs = ours.map(path => {
      const real = guests.file('other');
      const bytes = readFileSync(path);
      if (path === interpreter) writeFileSync(real, Buffer.concat([bytes, Buffer.from('x')]));
      else if (what === 'another') writeFileSync(real, bytes.fill(0xcc));
      return { path, real, hash: '' };
    });
    const go = guests.file('go');
    job = await Job.start(program, {
      hosts: 2,
      argv: ['40', '/usr/include/stdio.h', go],
      each: [{}, { files: theirs }],
    });
    const thread = await job.thread();
    const end = await job.bounce(thread, { gap: 1, go });
    expect([...end.failures.map(m => m.reason), ...job.hosts.flatMap(h => h.warnings())]).toEqual([]);
    expect(sorted(job.output(thread))).toEqual([...numbered('round ', 40), 'done 45 87'].sort());
    expect(end.status).toBe(17);
    // all that it has mapped of them went over, touched or not
    const first = job.host(1).all<Moved>('moved')[0] as Moved;
    expect(first.bytes).toBeGreaterThan(readFileSync(linked[0] as string).length / 2);
  });

  it('keeps its vector registers when it never calls anything', async () => {
    const end = await travel(guests.build('vector.c', '-O2'), ['17']);
    expect(end.stdout).toMatch(/^done 17 1\.0000017/);
    expect(end.status).toBe(31);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.each([
    ['dynamic', []],
    ['static-pie', ['-static-pie']],
  ])('keeps every register over rewritten system calls, and finds the time without one: %s', async (_kind, flags) => {
    const program = guests.build('hot.c', ...flags);
    const go = guests.file('go');
    job = await Job.start(program, { hosts: 2, workers: 1, argv: ['20000', go] });
    const threads = [await job.thread(), await job.thread()];
    const [end] = await Promise.all(
      threads.map((thread, i) => job?.bounce(thread, { gap: 1, most: i ? 3 : 60, ...(i ? {} : { go }) })),
    );
    for (const thread of threads) expect(job.output(thread)).toBe('rewritten kept\n');
    expect(end?.failures.map(m => m.reason)).toEqual([]);
    expect(end?.moves).toBeGreaterThan(2);
  });

  it.each(['one machine', 'stream'] as const)('keeps how its memory is protected, by %s', async way => {
    const go = guests.file('go');
    const end = guests.file('end');
    const stream = way === 'stream' ? { moves: way } : {};
    job = await Job.start(guests.build('protects.c'), { hosts: 2, argv: [go, end], ...stream });
    const thread = await job.thread();
    for (let i = 0; i < 9; i++) {
      const moved = await job.move(thread, 1 + (i % 2), 2 - (i % 2));
      expect(moved.ok, moved.reason).toBe(true);
      if (i === 7) {
        writeFileSync(go, '');
        await until('it to protect everything for good', () => job?.host(1).output(thread).split('\n').length === 17);
      }
    }
    const maps = readFileSync(`/proc/${job.host(2).pid}/maps`, 'utf8')
      .trim()
      .split('\n');
    const mapped = maps.map(line => {
      const [, from = '', to = '', letters = ''] = /^(\w+)-(\w+) (...)/.exec(line) ?? [];
      return { from: Number.parseInt(from, 16), to: Number.parseInt(to, 16), letters };
    });
    for (const area of job.host(1).output(thread).trim().split('\n')) {
      const [start = 0, size = 0, protection = 0] = area.split(' ').map(n => Number.parseInt(n, 16));
      const letters = [...'rwx'].map((letter, bit) => (protection & (1 << bit) ? letter : '-')).join('');
      const there = mapped.filter(m => m.from < start + size && start < m.to);
      expect([...new Set(there.map(m => m.letters))], area).toEqual([letters]);
    }
    writeFileSync(end, '');
    expect((await job.exited(thread)).status).toBe(7);
  });

  it('keeps its open files: offsets, shared offsets, appending, its own directory, unfinished lines', async () => {
    const data = guests.file('data');
    const out = guests.file('out');
    writeFileSync(
      data,
      numbered('', 1000)
        .map(n => `${n.padStart(5, '0')}\n`)
        .join(''),
    );
    const end = await travel(guests.build('files.c'), [data, out, '30', '@GO@']);
    expect(sorted(end.stdout)).toEqual(numbered('part of line ', 30, ', and the rest').sort());
    expect(sorted(end.stderr)).toEqual(numbered('e', 30).sort());
    expect(end.status).toBe(0);
    expect(lines(out)).toEqual(numbered('', 30).map(n => n.padStart(5, '0')));
    expect(readFileSync(`${out}.extra`, 'utf8')).toBe('aa\nbb\n'.repeat(30));
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.skipIf(!have('perl'))('is perl', async () => {
    const script = `
      use strict; my %h; my @a; srand(7);
      for my $r (0..149) { if ($r == 75) { 1 until -e $ENV{GO} } $h{$_ % 97} .= chr(65 + $_ % 26) for 1..3000; @a = sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1..3000;
        my $s = 0; $s += length($h{$_}) for keys %h; my $m = join(",", @a[0..3]); $m =~ s/(\\d+)/<$1>/g;
        eval { die "x$r\\n" }; print "round $r $s $m $@"; }
      exit 9;`;
    const perl = '/usr/bin/perl';
    job = await Job.start(perl, { argv: ['-e', script], env: ['GO=/'] });
    const alone = await job.thread();
    expect((await job.exited(alone)).status).toBe(9);
    const expected = sorted(job.output(alone));
    expect(expected.length).toBe(150);
    await job.stop();
    const end = await travel(perl, ['-e', `$| = 1; $ENV{GO} = '@GO@'; ${script}`]);
    expect(sorted(end.stdout)).toEqual(expected);
    expect(end.status).toBe(9);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.skipIf(!have('lua5.4'))('is lua', async () => {
    const script = `
      local words = {}
      for r = 1, 30 do
        while r == 15 and not io.open(arg_go) do end
        for i = 1, 2000 do words[i % 97 + 1] = string.rep(string.char(65 + i % 26), i % 50) .. r end
        table.sort(words); local ok, why = pcall(error, {code = r})
        local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * r) end end)
        print("round", r, #table.concat(words), words[5]:gsub("%u", "x"), why.code, co() + co())
      end os.exit(6)`;
    const end = await travel('/usr/bin/lua5.4', ['-e', `arg_go = '@GO@'; ${script}`]);
    const expected = spawnSync('lua5.4', ['-e', `arg_go = '/'; ${script}`], { encoding: 'utf8' });
    expect(sorted(end.stdout)).toEqual(sorted(expected.stdout));
    expect(end.status).toBe(6);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.skipIf(!have('gfortran'))('is Fortran, with output to a file', async () => {
    const out = guests.file('fortran');
    const end = await travel(guests.build('linear.f90', '-O2'), [out, '@GO@']);
    expect(sorted(end.stdout)).toEqual(Array.from({ length: 30 }, (_, i) => `round ${i + 1} .000`).sort());
    expect(lines(out)).toEqual(Array.from({ length: 30 }, (_, i) => `round${String(i + 1).padStart(3)} 1830.000000`));
    expect(end.status).toBe(3);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.skipIf(!openblas)('uses OpenBLAS', async () => {
    const end = await travel(guests.build('product.c', '-Wl,--no-as-needed', openblas), ['40', '@GO@'], {
      env: ['OPENBLAS_NUM_THREADS=1'],
    });
    expect(sorted(end.stdout)).toEqual(numbered('round ', 40).sort());
    expect(end.status).toBe(5);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });

  it.each(pythons)('is python, in the middle of a generator: its %s', async (_kind, build) => {
    const program = build();
    const script = [
      'import os, signal, sys',
      'def seen(number, frame): print("signal", number, frame.f_code.co_name, flush=True)',
      'signal.signal(signal.SIGUSR1, seen)',
      'def primes():',
      '    found = []',
      '    n = 2',
      '    while True:',
      '        if all(n % p for p in found): found.append(n); yield n',
      '        n += 1',
      'p = primes()',
      'for i in range(260):\n    while i == 130 and not os.path.exists(go): pass\n    print("round", i, sum(next(p) for _ in range(20)), flush=True)\n    if i % 50 == 0: signal.raise_signal(signal.SIGUSR1)',
      'sys.exit(4)',
    ].join('\n');
    const end = await travel(program, ['-S', '-c', `go = '@GO@'\n${script}`], { env: ['PYTHONDONTWRITEBYTECODE=1'] });
    const expected = execFileSync(program, ['-S', '-c', `go = '/'\n${script.replace('sys.exit(4)', '')}`], {
      encoding: 'utf8',
    });
    expect(sorted(end.stdout)).toEqual(sorted(expected));
    expect(end.status).toBe(4);
    expect(end.moves, end.failures.map(m => m.reason).join('; ')).toBeGreaterThan(0);
  });
});
