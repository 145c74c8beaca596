import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { alive, FAKE_HOST, pause } from './harness.js';

const DMI = fileURLToPath(new URL('../bin/dmi.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'dmi-cli-'));
// A name of its own, so that its processes can be told from those of other tests.
const HOST = join(dir, 'host.mjs');
symlinkSync(FAKE_HOST, HOST);
const env: NodeJS.ProcessEnv = {
  ...process.env,
  DMI_HOST_BIN: HOST,
  DMI_CACHE_DIR: dir,
  DMI_ADDRESS: '',
  NO_COLOR: '1',
};
delete env.DMI_ADDRESS;
delete env.DMI_TOKEN;
const children: ChildProcess[] = [];

/** The command as a user runs it. */
function dmi(...args: string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [DMI, ...args], { encoding: 'utf8', env, timeout: 30_000 });
}

/** A command that goes on; resolves with the first line of its stdout. */
async function start(...args: string[]): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, [DMI, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const line = await new Promise<string>((resolve, reject) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', code => reject(new Error(`dmi ${args.join(' ')} ended with ${code}`)));
  });
  return { child, line };
}

function ended(child: ChildProcess): Promise<number | null> {
  const over = child.exitCode !== null || child.signalCode !== null;
  return over ? Promise.resolve(child.exitCode) : new Promise(resolve => child.once('exit', resolve));
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await ended(child);
  }
}, 60_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('dmi run --local', () => {
  it('needs no set-up, prints what the program prints, mirrors its status, and leaves nothing running', async () => {
    const { stdout, stderr, status } = dmi('run', '--local', '2', '-n', '4', '--', '/bin/true', 'print,exit=7');
    expect(stdout.split('\n').sort()).toEqual(['', '0.1 on node-1', '0.2 on node-1', '1.1 on node-2', '1.2 on node-2']);
    expect(stderr).toBe('');
    expect(status).toBe(7);
    expect(spawnSync('pgrep', ['-f', HOST], { encoding: 'utf8' }).stdout).toBe('');
  });

  it('tags lines with their thread, and writes events', () => {
    const events = join(dir, 'events');
    const { stdout, status } = dmi('run', '--local', '1', '--tag', '--events', events, '/bin/true', 'print,exit=0');
    expect([stdout, status]).toEqual(['[0.1] 0.1 on node-1\n', 0]);
    const lines = readFileSync(events, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(lines[0]).toMatchObject({ event: 'join', node: 'node-1' });
    expect(lines.filter(({ event }) => event === 'job').map(({ state }) => state)).toEqual([
      'starting',
      'running',
      'ending',
      'done',
    ]);
  });

  it('says in one line why a job failed', () => {
    const { stderr, status } = dmi('run', '--local', '1', '/bin/true', 'fault,sleep=9');
    expect(stderr).toMatch(
      /^dmi: job \w+ failed: thread 0\.1 got SIGSEGV at address 0x10 in step \(pc 0x1234\) on node node-1\n$/,
    );
    expect(status).toBe(1);
  });

  it('cancels the job at Ctrl-C, and leaves nothing running', async () => {
    const child = spawn(process.execPath, [DMI, 'run', '--local', '2', '/bin/true', 'print,sleep=60'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    await new Promise(resolve => child.stdout?.once('data', resolve));
    const hosts = spawnSync('pgrep', ['-f', HOST], { encoding: 'utf8' }).stdout.trim().split('\n').map(Number);
    expect(hosts.length).toBeGreaterThanOrEqual(2);
    child.kill('SIGINT');
    expect(await ended(child)).toBe(130);
    expect(hosts.filter(alive)).toEqual([]);
  });

  it('gives 4 when the time given is over', () => {
    const { stderr, status } = dmi('run', '--local', '1', '--timeout', '1', '/bin/true', 'sleep=60');
    expect(stderr).toMatch(/^dmi: cancelling job \w+ \(timeout\)\n$/);
    expect(status).toBe(4);
  });

  it('kills its hosts even when it is killed itself', async () => {
    const child = spawn(process.execPath, [DMI, 'run', '--local', '1', '/bin/true', 'print,sleep=60'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    await new Promise(resolve => child.stdout?.once('data', resolve));
    child.kill('SIGKILL');
    await ended(child);
    for (let i = 0; i < 40 && spawnSync('pgrep', ['-f', HOST]).status === 0; i++) await pause(50);
    expect(spawnSync('pgrep', ['-f', HOST], { encoding: 'utf8' }).stdout).toBe('');
  });
});

describe('a cluster by hand', () => {
  it('coordinator, agents, run, nodes, jobs, ps, drain, Ctrl-C', { timeout: 120_000 }, async () => {
    const { line: address, child: coordinator } = await start(
      'coordinator',
      '--listen',
      '127.0.0.1:0',
      '--log-level',
      'error',
    );
    expect(address).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    env.DMI_ADDRESS = address;
    try {
      expect(dmi('run', '/bin/true')).toMatchObject({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(/^dmi: the cluster has no nodes to run on\n {5}start one: dmi agent/),
      });
      const one = await start(
        'agent',
        '--join',
        address,
        '--name',
        'alpha',
        '--cores',
        '2',
        '--memory',
        '64M',
        '--log-level',
        'error',
      );
      const two = await start('agent', '--join', address, '--name', 'beta', '--cores', '2', '--log-level', 'error');
      expect([one.line, two.line]).toEqual(['alpha', 'beta']);
      expect(dmi('nodes').stdout).toMatch(
        /^NAME +STATE +CORES +MEMORY +THREADS\nalpha +active +2 +64\.0 MiB +0\nbeta +active/,
      );
      expect(JSON.parse(dmi('nodes', '-o', 'json').stdout)).toMatchObject([
        { name: 'alpha', cores: 2 },
        { name: 'beta' },
      ]);

      const job = await start('run', '-n', '4', '/bin/true', `print,until=${join(dir, 'go')},exit=0`);
      const rows = JSON.parse(dmi('ps', '-o', 'json').stdout);
      expect(rows).toHaveLength(4);
      expect(rows[0]).toMatchObject({ thread: '0.1', node: 'alpha', state: 'running', bytes: 4096 });
      expect(dmi('drain', 'a')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^alpha drained in \d/) });
      expect(await ended(one.child)).toBe(0);
      const refusal = dmi('drain', 'beta');
      expect(refusal.status).toBe(1);
      expect(refusal.stderr).toMatch(
        /^dmi: cannot drain node beta: it is the last node, and job \w+ runs on it\n {5}start another agent first/,
      );
      expect(dmi('drain', 'gamma')).toMatchObject({
        status: 2,
        stderr: 'dmi: there is no node "gamma"\n     see: dmi nodes\n',
      });
      const gamma = await start('agent', '--join', address, '--name', 'gamma', '--log-level', 'error');
      two.child.kill('SIGTERM');
      expect(await ended(two.child)).toBe(0);
      writeFileSync(join(dir, 'go'), '');
      expect(await ended(job.child)).toBe(0);
      expect(JSON.parse(dmi('jobs', '-o', 'json').stdout)).toMatchObject([{ state: 'done', status: 0, n: 4 }]);
      gamma.child.kill('SIGINT');
      expect(await ended(gamma.child)).toBe(0);
      coordinator.kill('SIGTERM');
      expect(await ended(coordinator)).toBe(0);
    } finally {
      delete env.DMI_ADDRESS;
    }
  });

  it('up starts everything in one go, and ends with Ctrl-C', async () => {
    const { child, line } = await start('up', '-n', '3', '--listen', '127.0.0.1:0', '--log-level', 'error');
    const { stdout } = dmi('nodes', '-o', 'json', '--address', line);
    expect(JSON.parse(stdout).map(({ name }: { name: string }) => name)).toEqual(['node-1', 'node-2', 'node-3']);
    child.kill('SIGINT');
    expect(await ended(child)).toBe(0);
  });
});

describe('one clear line', () => {
  let taken: Server;
  it('for a port in use', async () => {
    taken = createServer();
    await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const { stderr, status } = dmi('coordinator', '--listen', `127.0.0.1:${port}`);
    expect(stderr).toMatch(
      new RegExp(`^dmi: cannot listen on 127.0.0.1:${port}: the port is in use\n.*--listen host:port\n$`),
    );
    expect(status).toBe(1);
    taken.close();
  });

  it.each([
    [
      ['nodes', '--address', 'ws://127.0.0.1:9'],
      3,
      'dmi: cannot reach the coordinator at ws://127.0.0.1:9: nothing listens there\n',
    ],
    [['run', '--address', 'ws://127.0.0.1:9', '/bin/true'], 3, 'dmi: cannot reach the coordinator at'],
    [['nodes', '--address', 'not an address'], 2, 'dmi: "not an address" is not a coordinator\'s address\n'],
    [['run', '/etc/passwd'], 2, 'dmi: /etc/passwd: it is not executable\n'],
    [['run', './nothing-here'], 2, 'dmi: ./nothing-here: there is no such program\n'],
    [
      ['run', '-n', '0', '/bin/true'],
      2,
      "error: option '-n <threads>' argument '0' is invalid. write a number of at least 1.",
    ],
    [['run'], 2, "error: missing required argument 'program'"],
    [['agent', '--memory', 'lots'], 2, "error: option '--memory <size>' argument 'lots' is invalid. write a size"],
    [['frobnicate'], 2, "error: unknown command 'frobnicate'"],
    [['coordinator', '--listen', 'nowhere'], 2, 'dmi: "nowhere" is not an address to listen on\n'],
    [
      ['coordinator', '--listen', '0.0.0.0:0'],
      2,
      'dmi: a coordinator on 0.0.0.0 can be reached by others, so it needs a join token\n',
    ],
    [['coordinator', '--store', 'redis://host'], 2, 'dmi: "redis://host" is not a store\n'],
    [
      ['coordinator', '--store', 'etcd://h', '--lease', '1'],
      2,
      "error: option '--lease <seconds>' argument '1' is invalid.",
    ],
    [['coordinator', '--store', 'etcd://h', '--store-user', 'u'], 2, 'dmi: there is no password for the user u of the'],
    [['nodes', '--token-file', '/nonexistent'], 2, 'dmi: cannot read the token from /nonexistent'],
  ])('for dmi %j', (args, status, line) => {
    const result = dmi(...args);
    expect(result.stderr).toContain(line);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe('');
  });

  it('for an agent whose dmi-host is not built', () => {
    env.DMI_HOST_BIN = '/nonexistent/dmi-host';
    const { stderr, status } = dmi('run', '--local', '1', '/bin/true');
    env.DMI_HOST_BIN = HOST;
    expect(stderr).toBe(
      'dmi: dmi-host is not there (tried /nonexistent/dmi-host)\n     DMI_HOST_BIN must name an executable\n',
    );
    expect(status).toBe(1);
  });
});
