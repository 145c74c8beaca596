import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blockDeck, bracketDeck, CCX_DECKS, ccx, fem, femSeq, firstStep } from './fem/programs.js';
import { difference, readDat, readFrd, readVtu, vtuArray } from './fem/results.js';

// CalculiX prints six digits, and stresses with rounded extrapolation factors.
const AGREES = 1e-4;
const TYPES = ['C3D4', 'C3D8', 'C3D10', 'C3D20', 'C3D20R'];
// The decks of Debian's calculix-ccx-test that ask for nothing but solids in one linear static step.
const DECKS = ['achtelc', 'achteld', 'achtelg', 'achtelp'];

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fem-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function expectAgreement(vtu: string, frd: string): void {
  const ours = readVtu(vtu);
  const theirs = readFrd(frd);
  expect(difference(ours.displacement, theirs.displacement)).toBeLessThan(AGREES);
  expect(difference(ours.stress, theirs.stress)).toBeLessThan(AGREES);
}

describe('against CalculiX', () => {
  test.each(TYPES)('a crooked block of %s under every kind of load has its displacements and stresses', type => {
    const deck = blockDeck(type, directory);
    const out = join(directory, `seq-${type}`);
    expect(femSeq(['--tol', '1e-10', '--out', out, deck])).toMatchObject({ status: 0, stderr: '' });
    expectAgreement(`${out}.vtu`, ccx(deck, directory));
  });

  test.skipIf(!existsSync(CCX_DECKS)).each(DECKS)('%s of calculix-ccx-test, in four threads on two nodes', name => {
    const deck = join(CCX_DECKS, `${name}.inp`);
    const out = join(directory, name);
    expect(fem(2, 4, ['--tol', '1e-10', '--out', out, deck])).toMatchObject({ status: 0, stderr: '' });
    expectAgreement(`${out}.vtu`, ccx(deck, directory));
    // The package's own results, made by the author of CalculiX.
    const reference = gunzipSync(readFileSync(join(CCX_DECKS, `${name}.dat.ref.gz`))).toString('latin1');
    expect(difference(readDat(readFileSync(`${out}.dat`, 'latin1')), readDat(reference))).toBeLessThan(AGREES);
  });

  test('the bracket, meshed by gmsh, pressed on and heavy', () => {
    const deck = bracketDeck(directory);
    const out = join(directory, 'seq-bracket');
    expect(femSeq(['--out', out, deck])).toMatchObject({ status: 0, stderr: '' });
    expectAgreement(`${out}.vtu`, ccx(deck, directory));
  });

  // Static steps that calculix-ccx-test follows with a sensitivity analysis: C3D8 with nodal forces, and with pressure.
  test.skipIf(!existsSync(CCX_DECKS)).each(['sensitivity_I', 'sensitivity_VI'])('the first step of %s', name => {
    const deck = firstStep(join(CCX_DECKS, `${name}.inp`), directory);
    const out = join(directory, name);
    expect(fem(2, 3, ['--tol', '1e-10', '--out', out, deck])).toMatchObject({ status: 0, stderr: '' });
    expectAgreement(`${out}.vtu`, ccx(deck, directory));
  });
});

describe('threads and nodes', () => {
  test('the solution depends on neither the nodes nor the run, bit by bit', () => {
    const deck = blockDeck('C3D20R', directory);
    const solutions = [1, 3, 3].map((nodes, i) => {
      const file = join(directory, `solution-${i}`);
      const { status } = fem(nodes, 6, ['--out', join(directory, 'bits'), '--solution', file, deck]);
      expect(status).toBe(0);
      return readFileSync(file);
    });
    expect(solutions[1]?.equals(solutions[0] ?? Buffer.of())).toBe(true);
    expect(solutions[2]?.equals(solutions[0] ?? Buffer.of())).toBe(true);
  });

  test('the .vtu says which thread and node computed what, stdout how it went', () => {
    const out = join(directory, 'told');
    const { stdout } = fem(2, 4, ['--out', out, blockDeck('C3D10', directory)]);
    expect(new Set(vtuArray(`${out}.vtu`, 'thread'))).toEqual(new Set([0, 1, 2, 3]));
    expect(new Set(vtuArray(`${out}.vtu`, 'node')).size).toBe(2);
    const lines = stdout.trim().split('\n');
    expect(lines[0]).toMatch(/^deck \S+ nodes=125 elements=48 dof=\d+ threads=4$/);
    expect(lines[1]).toMatch(/^iteration \d+ residual \d\.\d\de[-+]\d\d$/);
    expect(lines.at(-1)).toMatch(/^result iterations=\d+ relResidual=\d\.\d+e-\d+ seconds=\d+\.\d+ vtu=.*told\.vtu$/);
  });
});

describe('bad decks end with status 1 and one line', () => {
  const good = () => readFileSync(blockDeck('C3D8', directory), 'utf8');
  test.each([
    [
      'an unknown element',
      (s: string) => s.replace('C3D8,', 'C3D8I,'),
      /:31: element type C3D8I is not supported; use C3D4/,
    ],
    ['a missing node', (s: string) => s.replace(/^7, .*\n/m, ''), /element \d+ refers to node 7, which no \*NODE line/],
    [
      'no boundary condition',
      (s: string) => s.replace(/\*BOUNDARY[^*]*/, ''),
      /no \*BOUNDARY holds the structure, so its/,
    ],
    ['a truncated file', (s: string) => s.slice(0, -20), /is truncated/],
    [
      'a nonlinear step',
      (s: string) => s.replace('*STEP', '*STEP, NLGEOM'),
      /parameter NLGEOM of \*STEP is not supported/,
    ],
  ])('%s', (name, spoil, message) => {
    const deck = join(directory, `${name.replaceAll(' ', '-')}.inp`);
    writeFileSync(deck, spoil(good()));
    const { status, stdout, stderr } = fem(1, 2, [deck]);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  test('more threads than nodes, a missing file, a wrong option', () => {
    expect(fem(1, 64, [blockDeck('C3D8', directory)]).stderr).toMatch(/27 nodes, too few for 64 threads/);
    expect(fem(1, 1, ['/no/such/deck.inp'])).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot open/) });
    expect(fem(1, 1, ['--fast'])).toMatchObject({ status: 2, stderr: expect.stringMatching(/unknown option --fast/) });
  });
});
