import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { compileToWasm } from '../src/assemblyscript.js';
import { findToolchain } from '../src/toolchain.js';

const directory = mkdtempSync(join(tmpdir(), 'dmi-as-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function errorOf(source: string): Promise<string> {
  const file = join(directory, 'job.ts');
  writeFileSync(file, source);
  return compileToWasm(file).then(
    () => 'it compiled',
    error => String(error.message),
  );
}

const MAIN = 'export function main(): void {';

describe('a source that is not AssemblyScript', () => {
  it.each([
    ['a closure', `${MAIN}\n  let n = 1;\n  const f = (): i32 => n;\n  f();\n}`, 3, /pass them as arguments/],
    ['any', `function f(x: any): void {}\n${MAIN} f(1); }`, 1, /every value has one type/],
    [
      'an import that does not exist',
      `import { x } from './nothing';\n${MAIN} x(); }`,
      1,
      /File '.*nothing\.ts' not found/,
    ],
    [
      'a name @dmi/as lacks',
      `import { Treads } from '@dmi/as';\n${MAIN} Treads.self(); }`,
      1,
      /no exported member 'Treads'/,
    ],
    ['a conversion that loses', `${MAIN}\n  const a: i64 = 1;\n  const b: i32 = a;\n}`, 3, /value as i32/],
    ['async', 'async function f(): Promise<void> {}\nexport function main(): void { f(); }', 1, /no event loop/],
    ['a generator', 'function* f(): i32 { yield 1; }\nexport function main(): void {}', 1, /no generators/],
    ['destructuring', `${MAIN}\n  const [a, b] = [1, 2];\n}`, 2, /no destructuring/],
    ['an object without a class', `${MAIN}\n  const o = { a: 1 };\n}`, 2, /give it a class/],
    ['a regular expression', `${MAIN}\n  /a+/.exec('a');\n}`, 2, /no regular expressions/],
    ['a module of Node.js', `import * as fs from 'node:fs';\n${MAIN} }`, 1, /without Node\.js/],
    [
      'a missing return',
      'function f(): i32 {}\nexport function main(): i32 { return f(); }',
      1,
      /end it with return or throw/,
    ],
  ])('is refused for %s, with its line and what to write instead', async (_what, source, line, said) => {
    const message = await errorOf(source);
    expect(message).toMatch(new RegExp(`^.*job\\.ts:${line}:\\d+: error (TS|AS)\\d+: `, 'm'));
    expect(message).toMatch(said);
  });

  it('compiles otherwise', async () => expect(await errorOf(`${MAIN} }`)).toBe('it compiled'));
});

describe('a machine without the tools', () => {
  const path = process.env.PATH;
  afterEach(() => {
    process.env.PATH = path;
  });

  it('is told which packages to install', () => {
    process.env.PATH = directory;
    expect(findToolchain).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('wasm2c and wasm-objdump'),
        hint: expect.stringContaining('apt-get install wabt g++'),
      }),
    );
  });
});
