import { afterEach, describe, expect, it } from 'vitest';
import { TestCluster } from './harness.js';

let cluster: TestCluster | null = null;
afterEach(async () => {
  await cluster?.stop();
  cluster = null;
}, 60_000);

describe('dmi move', () => {
  it('says what it has moved, and of a thread that is there already that it is', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(2, 'until,exit=0', {}, { balance: 'none' });
    await cluster.settled({ n1: 1, n2: 1 });
    expect(await cluster.dmi('move', '0.1', 'n1')).toEqual({
      status: 0,
      stdout: '0.1 is on n1 already, and stays there\n',
      stderr: '',
    });
    const json = await cluster.dmi('move', '0.1', 'n1', '-o', 'json');
    expect(JSON.parse(json.stdout)).toEqual({
      thread: '0.1',
      from: 'n1',
      to: 'n1',
      bytes: 0,
      seconds: 0,
      pauseSeconds: 0,
    });
    expect((await cluster.dmi('move', '0.1', 'n2')).stdout).toMatch(/^0\.1: n1 -> n2, .* in \d+\.\d{3} s\n$/);
    expect((await cluster.dmi('move', '0.1', 'n2')).stdout).toBe('0.1 is on n2 already, and stays there\n');
    await job.cancel();
  });
});
