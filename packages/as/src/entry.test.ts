import { describe, expect, it } from 'vitest';
import { entryModule } from './entry.js';

const module = (source: string) => entryModule('job.ts', source, './job');

describe('the entry module', () => {
  it('fits entry points that leave out parameters and results', () => {
    const text = module('export function main(): void {}\nexport function thread(arg: i64): i64 { return arg; }');
    expect(text).toContain("import { main as program_main, thread as program_thread } from './job';");
    expect(text).toContain('program_main();\n  return 0;');
    expect(text).toContain('return <i64>program_thread(arg);');
    expect(text).toContain("throw new Error('job.ts exports no function scaleunit");
  });

  it('passes the arguments that main takes', () => {
    expect(module('export function main(args: string[]): i32 { return 0; }')).toContain(
      'return <i32>program_main(programArguments());',
    );
  });

  it.each(['', '// export function main(): void {}', 'function main(): void {}', '/* export function main() {} */'])(
    'refuses %j, which exports no main, and says what to write',
    source =>
      expect(() => module(source)).toThrow(
        expect.objectContaining({
          message: 'job.ts: it exports no function main',
          hint: expect.stringContaining('export function main(args: string[]): i32'),
        }),
      ),
  );

  it('refuses an asynchronous main', () => {
    expect(() => module('export async function main(): void {}')).toThrow(/main cannot be started as it is declared/);
  });
});
