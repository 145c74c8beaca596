import { createProject } from '@dmi/as/compiler';
import type { Command } from 'commander';
import { print } from './context.js';

export function initCommand(program: Command): void {
  program
    .command('init')
    .description('make a directory with a program in TypeScript to begin with')
    .argument('<directory>', 'a new or empty one')
    .action(async (directory: string) => {
      const files = await createProject(directory);
      await print(`${files.join('\n')}\n`);
    });
}
