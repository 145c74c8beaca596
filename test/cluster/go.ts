import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';

/** A file that the jobs of a test wait for (`path`, in a directory of its own), another one for each test; `give` makes it. */
export interface GoFile {
  readonly path: string;
  give(): void;
}

/** To be called where a file of tests begins: it is removed after what is registered later has been stopped. */
export function goFile(): GoFile {
  let path = '';
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), 'dmi-go-')), 'go');
  });
  afterEach(() => rmSync(dirname(path), { recursive: true, force: true }));
  return {
    get path() {
      return path;
    },
    give: () => writeFileSync(path, ''),
  };
}
