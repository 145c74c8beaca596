import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FromHost, HostJobMessage } from '@dmi/core';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { frame } from '../src/framing.js';
import { type HostExit, HostProcess } from '../src/host-process.js';

const dir = mkdtempSync(join(tmpdir(), 'dmi-host-process-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const job = { t: 'job', job: 'j', member: 0 } as unknown as HostJobMessage;

/** Starts a program that plays the host with `script`, and resolves with what came of it. */
function play(name: string, script: string): Promise<{ heard: FromHost[]; logged: string[]; exit: HostExit }> {
  const path = join(dir, name);
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  const heard: FromHost[] = [];
  const logged: string[] = [];
  const log = pino({ level: 'debug' }, { write: line => void logged.push(JSON.parse(line).msg) });
  return new Promise(resolve => {
    new HostProcess(
      path,
      job,
      { message: message => heard.push(message), exit: exit => resolve({ heard, logged, exit }) },
      log,
    );
  });
}

/** A shell script that reads its job's first bytes, writes messages to its control channel and then does something. */
function says(messages: readonly (object | Buffer)[], then: string): string {
  const bytes = Buffer.concat(messages.map(message => (message instanceof Buffer ? message : frame(message))));
  return `#!/bin/sh\nhead -c 4 <&3 >/dev/null\nprintf '${[...bytes].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('')}' >&3\n${then}\n`;
}

describe('HostProcess', () => {
  it('delivers all that was said before the exit, skips unknown messages, keeps the last words', async () => {
    const messages = [{ t: 'drained' }, { t: 'from-the-future', x: 1 }, { t: 'failed', reason: 'out of luck' }];
    const { heard, logged, exit } = await play('talks', says(messages, 'echo "last words" >&2; exit 3'));
    expect(heard.map(({ t }) => t)).toEqual(['drained', 'failed']);
    expect(logged).toContain('skipped an unknown message "from-the-future" of a host');
    expect(exit).toEqual({ code: 3, signal: null, detail: 'last words' });
  });

  it('passes settings of hosts on, and nothing else of its environment', async () => {
    process.env.DMI_SHARED_MEMORY = '0';
    process.env.DMI_HOST_MOVES = 'stream';
    process.env.DMI_TOKEN = 'secret';
    try {
      const { exit } = await play('tells', says([], 'env | grep ^DMI_ | sort >&2; exit 0'));
      expect(exit.detail.split('; ')).toEqual(['DMI_HOST_MOVES=stream', 'DMI_SHARED_MEMORY=0']);
    } finally {
      for (const name of ['DMI_SHARED_MEMORY', 'DMI_HOST_MOVES', 'DMI_TOKEN']) delete process.env[name];
    }
  });

  it('ends a host that breaks the protocol, and says how', async () => {
    const { heard, exit } = await play('lies', says([{ t: 'started', thread: 'me', movable: true }], 'sleep 30'));
    expect(heard).toEqual([]);
    expect(exit).toMatchObject({
      signal: 'SIGKILL',
      detail: 'it broke the control protocol: host message "started": thread: not a thread id',
    });
  });

  it('ends a host whose frame is too long', async () => {
    const { exit } = await play('long', says([Buffer.from([0, 0, 0, 0x70])], 'sleep 30'));
    expect(exit.detail).toMatch(/^it broke the control protocol: a frame of 1879048192 bytes/);
  });

  it('reports a program that cannot be started', async () => {
    const { exit } = await play('not-a-program', 'just text, no program\n');
    expect(exit.code === null || exit.code > 0).toBe(true);
  });
});
