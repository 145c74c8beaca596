import { basename } from 'node:path';
import { buildProgram, isTypeScript } from '@dmi/as/compiler';
import { DmiError } from '@dmi/core';
import type { Command } from 'commander';
import { print, say } from './context.js';

export function buildCommand(program: Command): void {
  program
    .command('build')
    .description('compile a program in TypeScript to an executable for dmi run')
    .argument('<source>', 'its entry, a .ts file that exports main')
    .option('-o, --output <file>', 'the executable (default: the name of the source, without .ts)')
    .action(async (source: string, { output }: { output?: string }) => {
      if (!isTypeScript(source)) {
        throw new DmiError('usage', `${source} is not a TypeScript source`, {
          object: source,
          hint: 'dmi build compiles .ts files; C and C++ are compiled by dmicc',
        });
      }
      const { path } = await buildProgram(source, { output: output ?? basename(source, '.ts'), warn: say });
      await print(`${path}\n`);
    });
}
