import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildProgram } from '@dmi/as/compiler';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';
import { type Command, Processes, until } from './cluster/processes.js';
import { heatInCube } from './matrix-market.js';

// Programs in TypeScript, from the source to the last line they print: the real compiler, host and agents.

const directory = mkdtempSync(join(tmpdir(), 'dmi-typescript-'));
const before = process.env.DMI_CACHE_DIR;
let cluster: Processes;
beforeAll(() => {
  process.env.DMI_CACHE_DIR = directory;
  process.env.DMI_TEST_WORD = 'späte';
});
afterEach(() => cluster?.stop());
afterAll(() => {
  if (before === undefined) delete process.env.DMI_CACHE_DIR;
  else process.env.DMI_CACHE_DIR = before;
  delete process.env.DMI_TEST_WORD;
  rmSync(directory, { recursive: true, force: true });
});

async function build(source: string): Promise<string> {
  return (await buildProgram(join(ROOT, source))).path;
}

/** Has this happened to the job? The file of its events appears some time after its start. */
function happened(job: Command, what: string, cause?: string): boolean {
  if (job.events === null || !existsSync(job.events)) return false;
  return job
    .log()
    .some(event => event.event === what && (cause === undefined || ('cause' in event && event.cause === cause)));
}

describe('a program in TypeScript', () => {
  it('is compiled by dmi run, and only once', async () => {
    cluster = Processes.none();
    const source = join(ROOT, 'examples/ts/hello.ts');
    expect((await buildProgram(source)).cached).toBe(false);
    expect((await buildProgram(source)).cached).toBe(true);
    const { stdout, stderr, status } = cluster.dmi('run', '--local', '2', '-n', '4', source);
    expect(stderr).toBe('');
    expect(stdout.match(/^hello from \d: thread \d\.\d on node [01] \(.+\)$/gm)).toHaveLength(4);
    expect(stdout).toContain('sum of squares: 14\n');
    expect(status).toBe(0);
  });

  it('has every part of the interface', async () => {
    cluster = Processes.none();
    const program = await build('test/typescript/interface.ts');
    const [file, events] = [join(directory, 'file'), join(directory, 'events')];
    const { stdout, stderr, status } = cluster.dmi(
      ...`run --local 2 --cores 1 -n 5 --events ${events} ${program} ${file} zwei`.split(' '),
    );
    expect({ stdout, stderr, status }).toEqual({ stdout: 'done\n', stderr: '', status: 0 });
    expect(readFileSync(file, 'utf8')).toBe('Aürich 🚋\nmore');
    // Thread.moveTo, as the job's events tell it.
    const all = readFileSync(events, 'utf8').trim().split('\n');
    const moved = all
      .map(line => JSON.parse(line))
      .filter(({ event, cause }) => event === 'moved' && cause === 'program');
    expect(moved).toMatchObject([{ from: 'node-1', to: 'node-2', fromMember: 0, toMember: 1, collision: false }]);
    expect(moved[0].bytes).toBeGreaterThan(0);
  });

  describe('moves in the middle of a join and a drain', () => {
    const png = join(directory, 'mandelbrot.png');
    const matrix = join(directory, 'cube.mtx');
    let moving: Processes;
    let nodes: string[];
    beforeAll(async () => {
      writeFileSync(matrix, heatInCube(16));
      nodes = ['n0', 'n1'];
      moving = await Processes.start(nodes);
    });
    afterAll(() => moving?.stop());

    it.each([
      ['jacobi', ['48', '2000']],
      ['pagerank', ['10000', '800']],
      ['mandelbrot', [png, '2400', '1800']],
      ['cg', ['24', '80']],
      ['cg', [matrix, '150']],
      ['heap', ['3000']],
    ])('%s, and computes what it computes alone', async (example, args) => {
      const program = await build('test/typescript/again.ts');
      const over = join(directory, `over-${nodes[1]}`); // it ends with the round in which this file appears
      const job = moving.run('-n', '4', program, over, example, ...args);
      await until('it runs', () => happened(job, 'threads'), 60);
      // A node that comes while the sequential part of a round runs finds no thread to take over: another one comes.
      const moved = (cause: string) => happened(job, 'moved', cause);
      for (let step = 0; !moved('join') || !moved('drain'); step++) {
        expect(step).toBeLessThan(10);
        const [oldest = '', newest = ''] = [nodes.shift(), `n${Number(nodes.at(-1)?.slice(1)) + 1}`];
        nodes.push(newest);
        await moving.join(newest);
        await until('a thread has moved', () => moved('join'), 4).catch(() => {});
        expect(moving.dmi('drain', oldest).status).toBe(0);
      }
      writeFileSync(over, '');
      const { stdout, stderr, status } = await job.ended;
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      expect(stdout).toMatch(/same as sequential|4 heaps are whole/);
      if (example === 'mandelbrot') expect(readFileSync(png).subarray(1, 4).toString()).toBe('PNG');
    });
  });

  it.each([
    ['throw', 0, /^test\/typescript\/wrong.ts:29:\d+: error: the input is not a matrix$/m, 'go'],
    ['an index out of bounds', 1, /^test\/typescript\/wrong.ts:10: error: Index out of range$/m, 'index'],
    ['null', 2, /^test\/typescript\/wrong.ts:31:\d+: error: Unexpected 'null'/m, 'go'],
    ['recursion without end', 3, /^test\/typescript\/wrong.ts:\d+: error: the stack is exhausted/m, 'deeper'],
    ['no memory left', 4, /^test\/typescript\/wrong.ts:20: error: memory exhausted: .*--thread-memory/m, 'hoard'],
    ['a division by zero', 5, /^test\/typescript\/wrong.ts:25: error: integer division by zero$/m, 'divide'],
  ])('ends for %s with the line, the stack and the thread', async (_what, which, message, innermost) => {
    cluster = Processes.none();
    const program = await build('test/typescript/wrong.ts');
    const { stderr, status } = cluster.dmi('run', '--local', '1', '--thread-memory', '64M', program, String(which));
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(new RegExp(`^ {4}at ${innermost} \\(test/typescript/wrong.ts:\\d+\\)$`, 'm'));
    expect(stderr).toMatch(/^ {4}in thread 0\.3 on node 0 \(.+\)$/m);
    expect(stderr).toMatch(/^dmi: job \w+ failed: thread 0\.3 on node-1 died of SIGABRT$/m);
    expect(status).toBe(1);
  });
});

describe('dmi init', () => {
  it('makes a program that type-checks with an ordinary tsc, builds and runs', () => {
    cluster = Processes.none();
    const job = join(directory, 'my-job');
    expect(cluster.dmi('init', job)).toMatchObject({
      status: 0,
      stdout: `${join(job, 'job.ts')}\n${join(job, 'tsconfig.json')}\n${join(job, 'package.json')}\n`,
    });
    expect(cluster.dmi('init', job)).toMatchObject({ status: 2, stderr: expect.stringContaining('is not empty') });
    const tsc = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', job], { encoding: 'utf8' });
    expect(tsc.stdout).toBe('');
    const program = join(directory, 'job');
    expect(cluster.dmi('build', join(job, 'job.ts'), '-o', program).stderr).toBe('');
    expect(existsSync(program)).toBe(true);
    const { stdout } = cluster.dmi('run', '--local', '2', '-n', '3', program, '1000000');
    expect(stdout).toMatch(/^pi is about 3\.14159265358/);
  });
});
