import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { align, power } from '../src/sim/numbers.js';
import { simulate } from '../src/sim/random-address.js';

const DMI = fileURLToPath(new URL('../bin/dmi.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'dmi-sim-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const once = { trials: 1, seed: 1, threads: 2 };

function sim(...args: string[]) {
  return spawnSync(process.execPath, [DMI, 'sim', 'random-address', ...args], { encoding: 'utf8', timeout: 60_000 });
}

/** The chance that two processes meet somewhere, if all places are alike and all meetings independent. */
function chanceToMeet(space: number, bytes: number, pieces: number, step: number): number {
  const piece = bytes / pieces;
  const slots = Math.floor((space - piece) / step) + 1;
  // Two pieces meet when they start less than a piece apart.
  const apart = Math.floor((piece - 1) / step);
  let meeting = slots;
  for (let d = 1; d <= apart; d++) meeting += 2 * (slots - d);
  return 1 - (1 - meeting / slots ** 2) ** (pieces ** 2);
}

describe('dmi sim random-address', () => {
  it.each([
    ['a contiguous piece each', { addressBits: 20, processes: 2000, bytes: 1024, pieces: 1, align: 1 }],
    [
      'a contiguous piece each, aligned to its size',
      { addressBits: 20, processes: 2000, bytes: 1024, pieces: 1, align: 1024 },
    ],
    ['pieces', { addressBits: 24, processes: 1000, bytes: 4096, pieces: 16, align: 1 }],
    ['an alignment that divides nothing', { addressBits: 20, processes: 2000, bytes: 1000, pieces: 1, align: 7 }],
  ])('lets pairs meet as often as they must: %s', async (_kind, layout) => {
    const found = await simulate(layout, { ...once, trials: 4 });
    const expected = chanceToMeet(2 ** layout.addressBits, layout.bytes, layout.pieces, layout.align);
    expect(found.meet / expected).toBeGreaterThan(0.9);
    expect(found.meet / expected).toBeLessThan(1.1);
  });

  it('draws the same with any number of processors', async () => {
    const layout = { addressBits: 36, processes: 512, bytes: 2 ** 24, pieces: 2 ** 14, align: 1 };
    const alone = await simulate(layout, { ...once, threads: 1 });
    const together = await simulate(layout, { ...once, threads: 3 });
    expect({ ...together, seconds: 0 }).toEqual({ ...alone, seconds: 0 });
    expect(alone.meet).toBeGreaterThan(0.01);
    expect(alone.meet).toBeLessThan(1);
  });

  it('needs one address space where nobody can meet, and one each where all must', async () => {
    expect(await simulate({ addressBits: 20, processes: 1, bytes: 2 ** 20, pieces: 1, align: 1 }, once)).toMatchObject({
      mean: 1,
      meet: 0,
    });
    expect(await simulate({ addressBits: 20, processes: 70, bytes: 2 ** 20, pieces: 1, align: 1 }, once)).toMatchObject(
      { min: 70, max: 70, meet: 1 },
    );
  });

  it('finds alignment to the size of a piece best', async () => {
    const spaces = async (step: number) =>
      (
        await simulate(
          { addressBits: 32, processes: 1024, bytes: 2 ** 20, pieces: 64, align: step },
          { ...once, trials: 3 },
        )
      ).mean;
    const best = await spaces(2 ** 14);
    expect(best).toBeLessThan(await spaces(1));
    expect(best).toBeLessThan(await spaces(2 ** 17));
  });

  it('agrees with the published figure for a contiguous piece, as a table, as JSON and as a picture', () => {
    const json = JSON.parse(sim('--trials', '10', '--json').stdout);
    expect(json).toMatchObject({ trials: 10, processes: 16_384, bytes: 2 ** 32, addressBits: 47 });
    expect(json.mean).toBeGreaterThan(6.2 * 0.95);
    expect(json.mean).toBeLessThan(6.2 * 1.05);
    expect([json.min, json.max].map(Number.isInteger)).toEqual([true, true]);
    const svg = join(dir, 'plot.svg');
    const table = sim(
      '--address-bits',
      '30',
      '--processes',
      '256',
      '--bytes',
      '2^20',
      '--sweep',
      '--trials',
      '2',
      '--svg',
      svg,
    ).stdout;
    expect(table.split('\n').filter(line => line.includes('2^20')).length).toBeGreaterThan(5);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg [\s\S]*<circle[\s\S]*<\/svg>\n$/);
  });

  it.each([
    [['--bytes', '1000', '--pieces', '7'], /--bytes must be a multiple of --pieces/],
    [['--address-bits', '20', '--bytes', '2^21'], /do not fit into an address space of 2\^20/],
    [['--processes', '100000'], /--processes must be between 1 and 65536/],
    [['--bytes', '2^99'], /write a number/],
    [['--address-bits', '63'], /--address-bits must be/],
  ])('refuses %j in one line', (args, why) => {
    const { status, stderr } = sim(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(why);
  });

  it('reads numbers as people write them', () => {
    expect([power('2^32'), power('65536')]).toEqual([2 ** 32, 65_536]);
    for (const wrong of ['', '-1', '2^', '1.5', '2^60', '0']) expect(() => power(wrong)).toThrow();
    expect(align.sweep(2 ** 16)).toEqual([1, 16, 256, 4096, ...[15, 16, 17, 18, 19, 20].map(bits => 2 ** bits)]);
    expect(align.sweep(1)).toEqual([1, 2, 4, 8, 16]);
  });
});
