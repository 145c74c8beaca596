import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DMICC = join(ROOT, 'native/build/bin/dmicc');

/** Small programs of test/guests (and examples), built by dmicc into a directory of their own. */
export class Guests {
  readonly dir = mkdtempSync(join(tmpdir(), 'dmi-guests-'));
  readonly #built = new Map<string, string>();

  /** @param source a name in test/guests, or a path from the root */
  build(source: string, ...flags: string[]): string {
    const key = [source, ...flags].join(' ');
    const known = this.#built.get(key);
    if (known) return known;
    const path = join(ROOT, source.includes('/') ? source : `test/guests/${source}`);
    const program = join(this.dir, `g${this.#built.size}-${source.replace(/\W/g, '-')}`);
    execFileSync(DMICC, ['-O2', ...flags, '-o', program, `${path}.c`, '-lm']);
    this.#built.set(key, program);
    return program;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** To be called where a file of tests begins: what was built is removed after its last test. */
export function guestPrograms(): Guests {
  const guests = new Guests();
  afterAll(() => guests.remove());
  return guests;
}
