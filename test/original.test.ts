import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { guestPrograms, ROOT } from './cluster/guests.js';
import { Processes } from './cluster/processes.js';

// A program written for the original: `dmicc old.c -o old && dmi run -n 4 ./old`, and no more.

const guests = guestPrograms();
let cluster: Processes;
afterEach(() => cluster.stop());

describe('a program written for the original', () => {
  const program = join(guests.dir, 'old');
  execFileSync(join(ROOT, 'native/build/bin/dmicc'), [join(ROOT, 'test/guests/original.c'), '-o', program]);

  it.each([1, 2, 4])('compiles as it is and runs on %i nodes', async nodes => {
    cluster = await Processes.start(Array.from({ length: nodes }, (_, i) => `n${i}`));
    const { stdout, stderr, status } = await cluster.run('-n', '4', program, '4').ended;
    expect({ stdout, stderr, status }).toEqual({
      stdout: `${nodes} nodes\nsum 16 counter 80 flags 0 later\n`,
      stderr: '',
      status: 0,
    });
  });

  it('ends where it catches a failure, with the call, the reason, file and line', async () => {
    cluster = await Processes.start(['a']);
    const { stdout, stderr, status } = await cluster.run('-n', '4', program, '4', 'fail').ended;
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toMatch(/original\.c:\d+: DMI_write\(addr \+ sizeof\(scaleunit_t\).*Bad address/);
  });
});
