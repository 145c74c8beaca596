import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Summary } from '../scripts/src/demo/summary.js';

const root = fileURLToPath(new URL('..', import.meta.url));

// The demo itself on a coarser mesh: the real programs, started as a user starts them.
describe('npm run demo', () => {
  const output = mkdtempSync(join(tmpdir(), 'dmi-demo-'));
  let stdout = '';
  let summary: Summary;

  beforeAll(() => {
    const args = ['scripts/dist/demo/main.js', '--json', '--size', '4.5', '--output', output];
    const run = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', timeout: 240_000 });
    expect(run.status, run.stderr).toBe(0);
    stdout = run.stdout;
    summary = JSON.parse(stdout) as Summary;
  }, 250_000);
  afterAll(() => rmSync(output, { recursive: true }));

  test('an elastic run gives the solution of an unchanging one', () => {
    expect(summary.sameSolution).toBe(true);
    expect(summary.maxAbsDiff).toBe(0);
    expect(summary.relResidual).toBeLessThan(1e-7);
    expect(existsSync(summary.vtu)).toBe(true);
  });

  test('two nodes join, three leave, and every thread that had to move has moved', () => {
    expect(summary).toMatchObject({ joins: 2, leaves: 3 });
    const by = (kind: string) => summary.changes.filter(change => change.kind === kind);
    expect(by('join').reduce((sum, { threads }) => sum + threads, 0)).toBeGreaterThanOrEqual(6);
    expect(by('leave').reduce((sum, { threads }) => sum + threads, 0)).toBeGreaterThanOrEqual(12);
    expect(summary.bytesMoved).toBeGreaterThan(summary.threadsMoved * 100_000);
  });

  test('the summary has the documented members', () => {
    expect(stdout.trim().split('\n')).toHaveLength(1);
    const members = ['maxAbsDiff', 'relResidual', 'joins', 'leaves', 'threadsMoved', 'bytesMoved', 'moveSeconds'];
    for (const member of [...members, 'collisions', 'iterations', 'seconds']) {
      expect(summary, member).toHaveProperty(member, expect.any(Number));
    }
    expect(summary).toHaveProperty('sameSolution', expect.any(Boolean));
  });
});

test('the demo refuses options it does not know, with its usage', () => {
  const run = spawnSync(process.execPath, ['scripts/dist/demo/main.js', '--sise', '8'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(run.status).toBe(2);
  expect(run.stderr).toContain("demo: Unknown option '--sise'");
  expect(run.stderr).toContain('usage: npm run demo');
});
