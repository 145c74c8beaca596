import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProgram, parseElf } from '../src/index.js';

let dir: string;
const at = (name: string) => join(dir, name);

function compile(name: string, source: string, ...flags: string[]): string {
  writeFileSync(at(`${name}.c`), source);
  execFileSync('gcc', [at(`${name}.c`), '-o', at(name), ...flags]);
  return at(name);
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'dmi-program-'));
  compile('plain', 'int main(void) { return 0; }', '-pie', '-fPIE', '-Wl,--no-as-needed', '-lm');
  compile('fixed', 'int main(void) { return 0; }', '-no-pie');
  compile('parallel', 'void DMI_main(int c, char **v) {} int main(void) { return 0; }', '-pie', '-fPIE');
  compile(
    'calls',
    'void DMI_main(int, char **); int main(void) { void (*volatile f)(int, char **) = DMI_main; return f != 0; }',
    '-pie',
    '-fPIE',
    '-Wl,--unresolved-symbols=ignore-all',
  );
  compile('static', 'void DMI_main(int c, char **v) {} int main(void) { return 0; }', '-static-pie');
  compile('library.so', 'int f(void) { return 0; }', '-shared', '-fPIC');
  execFileSync('strip', [at('static')]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('loadProgram', () => {
  it('finds the interpreter and the libraries, by the paths they are opened under', async () => {
    const program = await loadProgram(at('plain'));
    const paths = program.files.map(({ path }) => path);
    expect(paths[0]).toBe(at('plain'));
    expect(paths[1]).toMatch(/ld-linux-x86-64\.so\.2$/);
    expect(paths.some(path => /\/libc\.so\.6$/.test(path))).toBe(true);
    expect(paths.some(path => /\/libm\.so\.6$/.test(path))).toBe(true);
    expect(program.sources.get(program.hash)).toBe(at('plain'));
    expect(program.elf.hasDmiMain).toBe(false);
  });

  it('sees DMI_main where it is defined, not where it is only called', async () => {
    expect((await loadProgram(at('parallel'))).elf.hasDmiMain).toBe(true);
    expect(parseElf('calls', readFileSync(at('calls'))).hasDmiMain).toBe(false);
  });

  it('takes a static program as one file', async () => {
    expect((await loadProgram(at('static'))).files).toHaveLength(1);
  });

  const refusals: [string, () => string, string][] = [
    ['is not there', () => at('nothing'), 'there is no such program'],
    ['is a directory', () => dir, 'it is a directory, not a program'],
    ['is not executable', () => copy('plain', 'unexecutable', 0o644), 'it is not executable'],
    ['is not an ELF', () => write('text', 'just words'), 'it is not an ELF executable'],
    ['is empty', () => write('empty', ''), 'it is not an ELF executable'],
    ['is a script', () => write('script', '#!/bin/sh\necho hello\n'), 'it is a script, not an ELF executable'],
    [
      'is for another machine',
      () => patch('plain', 'arm', file => file.writeUInt16LE(183, 18)),
      'it is an executable for another machine (64-bit ARM); the nodes are x86-64',
    ],
    ['is truncated in its header', () => cut('plain', 'short', 40), 'the file is truncated'],
    ['is truncated in its segments', () => cut('plain', 'half', 9_000), 'the file is truncated'],
    ['is not PIE', () => at('fixed'), 'it is not position-independent (ET_EXEC, linked with -no-pie)'],
    ['is a library', () => at('library.so'), 'it is a shared library, not a program'],
    ['is an object file', () => patch('plain', 'object', file => file.writeUInt16LE(1, 16)), 'it is an object file'],
  ];
  it.each(refusals)('refuses by name what %s', async (_what, make, line) => {
    const path = make();
    await expect(loadProgram(path)).rejects.toMatchObject({
      code: 'bad-program',
      message: expect.stringContaining(`${path}: ${line}`),
    });
  });

  it('refuses a program whose library is missing, and names the library', async () => {
    execFileSync('gcc', ['-shared', '-fPIC', '-o', at('libgone.so'), at('library.so.c')]);
    compile('needs', 'int f(void); int main(void) { return f(); }', '-pie', '-fPIE', `-L${dir}`, '-lgone');
    rmSync(at('libgone.so'));
    await expect(loadProgram(at('needs'))).rejects.toMatchObject({
      message: `${at('needs')}: it needs libgone.so, which is not there`,
    });
  });
});

describe('parseElf', () => {
  it('survives any damage: it gives a program or one of our errors', () => {
    const good = readFileSync(at('plain'));
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(damage, fc.nat(good.length), (changes, length) => {
        const file = Buffer.from(good.subarray(0, length));
        for (const [offset, value] of changes) if (offset < length) file[offset] = value;
        try {
          parseElf('damaged', file);
        } catch (error) {
          expect(error).toMatchObject({ name: 'DmiError', code: 'bad-program' });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

function copy(from: string, to: string, mode: number): string {
  copyFileSync(at(from), at(to));
  chmodSync(at(to), mode);
  return at(to);
}
function write(name: string, text: string): string {
  writeFileSync(at(name), text, { mode: 0o755 });
  return at(name);
}
function patch(from: string, to: string, change: (file: Buffer) => void): string {
  const file = readFileSync(at(from));
  change(file);
  writeFileSync(at(to), file, { mode: 0o755 });
  return at(to);
}
function cut(from: string, to: string, length: number): string {
  writeFileSync(at(to), readFileSync(at(from)).subarray(0, length), { mode: 0o755 });
  return at(to);
}
