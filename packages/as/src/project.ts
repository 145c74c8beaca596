import { mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { DmiError, VERSION } from '@dmi/core';
import { PACKAGE } from './places.js';

/**
 * A directory with a program to begin with: job.ts, and what an editor and `tsc` need to know. Gives the files' paths, as the
 * directory was named. @throws DmiError `usage` when there is something in it already
 */
export async function createProject(directory: string): Promise<string[]> {
  const root = resolve(directory);
  const there = await readdir(root).catch(() => []);
  if (there.length > 0) {
    throw new DmiError('usage', `${directory} is not empty`, {
      object: directory,
      hint: 'name a new directory',
    });
  }
  await mkdir(root, { recursive: true });
  // Where this package is: an editor finds it without anything being installed.
  const at = await realpath(PACKAGE);
  const library = relative(await realpath(root), at);
  const installed = at.split(sep).includes('node_modules'); // and not in a checkout, which no registry has
  const name =
    basename(root)
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[._-]+/, '') || 'job';
  const files: Record<string, string> = {
    'job.ts': await readFile(join(PACKAGE, 'template/job.ts'), 'utf8'),
    'tsconfig.json': json({
      extends: `${library}/tsconfig.program.json`,
      compilerOptions: { paths: { '@dmi/as': [`${library}/types/index.d.ts`] } },
      include: ['*.ts'],
    }),
    'package.json': json({
      name,
      version: '0.0.1',
      private: true,
      scripts: { start: 'dmi run --local 4 -n 16 job.ts', build: 'dmi build job.ts -o job', check: 'tsc -p .' },
      ...(installed ? { devDependencies: { '@dmi/as': VERSION, '@dmi/cli': VERSION } } : {}),
    }),
  };
  for (const [file, text] of Object.entries(files)) await writeFile(join(root, file), text);
  return Object.keys(files).map(file => join(directory, file));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
