import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';

const DMICC = join(ROOT, 'native/build/bin/dmicc');
const dir = mkdtempSync(join(tmpdir(), 'dmicc-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: dir, encoding: 'utf8' });
  return { status, stdout, stderr };
}

function source(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return name;
}

const main = source('main.c', '#include "dmi_api.h"\nvoid DMI_main(int c, char **v) { outn("%d %s", c, v[0]); }\n');

describe('dmicc', () => {
  it('explains itself', () => {
    expect(run(DMICC, '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('usage: dmicc') });
  });

  it.each(['-no-pie', '-fno-pie', '-shared', '-static'])('refuses %s in one line that says what to do', flag => {
    const { status, stderr } = run(DMICC, flag, main);
    expect(status).toBe(2);
    expect(stderr).toMatch(new RegExp(`^dmicc: ${flag}: .*\n$`));
  });

  it('shows the command, ready for a shell', () => {
    const { stdout } = run(DMICC, '--show', '-DTEXT="a b"', main, '-o', '-shared');
    expect(stdout).toMatch(/^cc -pie .*'-DTEXT="a b"' main\.c -o -shared .*libdmi\.a/);
    expect(run(DMICC, '--show', '-c', main).stdout).not.toMatch(/libdmi|-pie/);
  });

  it('takes C++ by the name of a source, of itself, or when told', () => {
    source(
      'p.cc',
      '#include "dmi_api.h"\n#include <vector>\nvoid DMI_main(int, char **) { std::vector<int> out(3); }\n',
    );
    expect(run(DMICC, 'p.cc', '-o', 'p')).toMatchObject({ status: 0, stderr: '' });
    expect(run(DMICC, '--show', main).stdout).toMatch(/^cc /);
    expect(run(DMICC, '--show', '--cxx', main).stdout).toMatch(/^c\+\+ /);
    expect(run(`${DMICC.slice(0, -1)}xx`, '--show', 'p.o').stdout).toMatch(/^c\+\+ /);
  });

  it.each(['-std=c99', '-std=c11', '-std=gnu17'])('compiles the header with %s without a warning', standard => {
    expect(run(DMICC, standard, '-Wall', '-Wextra', '-pedantic', '-c', main)).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  it.each([[[]], [['-static-pie']]])('links a program that keeps DMI_main when stripped (%j)', flags => {
    expect(run(DMICC, ...flags, main, '-o', 'main')).toMatchObject({ status: 0, stderr: '' });
    run('strip', 'main');
    expect(run('readelf', '--dyn-syms', '-W', 'main').stdout).toMatch(/FUNC +GLOBAL DEFAULT +\d+ DMI_main/);
    expect(run('./main')).toEqual({
      status: 2,
      stdout: '',
      stderr: './main: this is a DMI program: start it with `dmi run -- PROGRAM [ARGUMENTS]`\n',
    });
  });
});
