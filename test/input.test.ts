import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { loadProgram, makeSpec } from '@dmi/cli';
import { Client } from '@dmi/core';
import { afterEach, describe, expect, it } from 'vitest';
import { guestPrograms, ROOT } from './cluster/guests.js';
import { type Command, Processes, pause, until } from './cluster/processes.js';

// What `dmi run` reads is what the job's first thread reads, wherever it is by then.

const guests = guestPrograms();
let cluster: Processes;
afterEach(() => cluster?.stop());
const reader = () => guests.build('test/host/guests/input');

/** Says something to a job, and waits until it has repeated it. */
async function say(job: Command, line: string): Promise<void> {
  job.child.stdin?.write(`${line}\n`);
  await until(`"${line}" to be repeated`, () => job.stdout.includes(`got ${line}\n`));
}

/** Waits until the only thread of the cluster waits for input. @returns which it is, and the node where it does */
async function waiting(): Promise<{ thread: string; node: string }> {
  for (let tries = 0; tries < 200; tries++) {
    const [one] = cluster.json<{ thread: string; node: string; state: string }[]>('ps');
    if (one?.state === 'waiting for input') return one;
    await pause(50);
  }
  throw new Error('no thread waits for input');
}

/** So many bytes, of which no two pieces are alike. */
function bytes(count: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(count / 64) }, (_, i) => createHash('sha512').update(`${i}`).digest());
  return Buffer.concat(blocks).subarray(0, count);
}
function summary(data: Buffer): string {
  // FNV-1a in two halves, as BigInt takes a minute.
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (const byte of data) {
    low = (low ^ byte) >>> 0;
    const product = low * 0x1b3;
    const carry = Math.floor(product / 2 ** 32);
    high = (Math.imul(high, 0x1b3) + carry + Math.imul(low, 0x100)) >>> 0;
    low = product >>> 0;
  }
  const hex = (half: number) => half.toString(16).padStart(8, '0');
  return `${data.length} ${hex(high)}${hex(low)}\n`;
}

describe('standard input', () => {
  it('reaches the first thread whole while nodes join and leave under it; the others see its end', async () => {
    cluster = await Processes.start(['a', 'b']);
    const whole = bytes(12 << 20);
    const part = whole.length / 6;
    const job = cluster.read('pipe', '-n', '3', '--', reader(), 'sum');
    let taken = Promise.resolve();
    const send = (n: number) => {
      taken = new Promise(resolve => job.child.stdin?.write(whole.subarray(n * part, (n + 1) * part), () => resolve()));
    };
    send(0);
    await until('the others to be done', () => job.stdout.split('\n').length === 3);
    send(1);
    await cluster.join('c');
    for (const [n, leaving] of [
      [2, 'a'],
      [3, 'b'],
    ] as const) {
      send(n);
      expect(cluster.dmi('drain', leaving)).toMatchObject({ status: 0 });
      await taken;
    }
    send(4);
    await cluster.join('d');
    const { thread } = await waiting();
    expect(cluster.dmi('move', thread, 'd')).toMatchObject({ status: 0 });
    send(5);
    job.child.stdin?.end();
    expect(await job.ended).toMatchObject({ status: 0, stderr: '' });
    expect(job.stdout.split(/(?<=\n)/).sort()).toEqual(
      [summary(Buffer.alloc(0)), summary(Buffer.alloc(0)), summary(whole)].sort(),
    );
  });

  it('comes line by line; a thread moves while it waits for the next', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.read('pipe', reader(), 'read');
    await say(job, 'first');
    for (const line of ['second', 'third']) {
      const { thread, node } = await waiting();
      const to = node === 'a' ? 'b' : 'a';
      expect(cluster.dmi('move', thread, to)).toMatchObject({ status: 0 });
      expect(await waiting()).toEqual(expect.objectContaining({ thread, node: to }));
      await say(job, line);
    }
    job.child.stdin?.end('the end');
    expect(await job.ended).toMatchObject({ status: 0, stderr: '' });
    expect(job.stdout).toBe('got first\ngot second\ngot third\nend after 26\n');
  });

  it('is neither lost nor doubled while the coordinator is killed and started anew', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.read('pipe', reader(), 'read');
    await say(job, 'before');
    for (const line of ['while it is away', 'and once more']) {
      await waiting();
      cluster.coordinator?.child.kill('SIGKILL');
      await cluster.coordinator?.ended;
      job.child.stdin?.write(`${line}\n`);
      await cluster.coordinate();
      await until(`"${line}" to be repeated`, () => job.stdout.includes(`got ${line}\n`));
    }
    // Whatever was under way got lost.
    const whole = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'.'.repeat(200)}`);
    job.child.stdin?.write(`${whole.join('\n')}\n`);
    await until('some of it', () => job.stdout.includes('line 100 '));
    cluster.coordinator?.child.kill('SIGKILL');
    await cluster.coordinator?.ended;
    await cluster.coordinate();
    job.child.stdin?.end();
    expect(await job.ended).toMatchObject({ status: 0, stderr: '' });
    const said = ['before', 'while it is away', 'and once more', ...whole];
    const total = said.reduce((sum, { length }) => sum + length + 1, 0);
    expect(job.stdout).toBe(`${said.map(line => `got ${line}\n`).join('')}end after ${total}\n`);
  });

  it('keeps nobody waiting who does not read it to its end', async () => {
    cluster = Processes.none();
    const job = cluster.read('pipe', '--local', '2', '--', '/usr/bin/head', '-n', '1');
    job.child.stdin?.write('first\nsecond\n');
    expect(await job.ended).toEqual({ status: 0, stdout: 'first\n', stderr: '' });
  });

  it('may be a file, and nothing; programs that come with the system read it', async () => {
    cluster = Processes.none();
    const file = join(guests.dir, 'numbers');
    const numbers = Array.from({ length: 5000 }, (_, i) => (i * 7919) % 5000);
    writeFileSync(file, numbers.map(n => `${n}\n`).join(''));
    for (const [path, expected] of [
      [file, numbers.map((_, i) => `${i}\n`).join('')],
      ['/dev/null', ''],
    ] as const) {
      const fd = openSync(path, 'r');
      const job = cluster.read(fd, '--local', '1', '--', '/usr/bin/sort', '-n');
      closeSync(fd);
      expect(await job.ended).toEqual({ status: 0, stdout: expected, stderr: '' });
    }
  });

  it('has ended where it cannot be read, which is said', async () => {
    cluster = Processes.none();
    const fd = openSync(join(guests.dir, 'written'), 'w');
    const job = cluster.read(fd, '--local', '1', '--', '/usr/bin/cat');
    closeSync(fd);
    const { status, stdout, stderr } = await job.ended;
    expect([status, stdout]).toEqual([0, '']);
    expect(stderr).toMatch(/^dmi: stdin cannot be read: EBADF.*\n$/);
  });

  it('is left alone by a program that does not read it', async () => {
    cluster = Processes.none();
    const dmi = join(ROOT, 'packages/cli/bin/dmi.js');
    const script = `"${process.execPath}" "${dmi}" run --local 1 -- /usr/bin/true && cat`;
    const shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    shell.stdin.end('for somebody else\n');
    const said: Buffer[] = [];
    for await (const piece of shell.stdout) said.push(piece as Buffer);
    expect(Buffer.concat(said).toString()).toBe('for somebody else\n');
  });

  it('can be given by a program, which may fail to', async () => {
    cluster = await Processes.start(['a']);
    const client = await Client.connect({ address: cluster.address, token: null });
    try {
      const program = await loadProgram(reader());
      const settings = { n: 1, threadMemory: 1 << 28, peerTimeout: 30, balance: 'threads' as const };
      const run = async (input?: () => Readable): Promise<string> => {
        const said: string[] = [];
        const spec = makeSpec(program, ['reader', 'lines'], settings);
        const take = ({ data }: { data: Uint8Array }) => said.push(Buffer.from(data).toString());
        const job = await client.submit(spec, program.sources, take, input);
        expect(await job.done).toMatchObject({ state: 'done', status: 0 });
        return said.join('');
      };
      expect(await run()).toBe('end after 0\n');
      expect(await run(() => Readable.from(['a\n', 'b\n']))).toBe('got a\ngot b\nend after 4\n');
      const fails = async function* () {
        yield 'a\n';
        throw new Error('no more');
      };
      expect(await run(() => Readable.from(fails()))).toBe('got a\nend after 2\n');
    } finally {
      await client.close();
    }
  });
});
