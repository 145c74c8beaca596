import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DmiError, VERSION } from '@dmi/core';
import { LIBRARY, RUNTIME } from './places.js';

/** The programs that turn a TypeScript program into an executable, by their paths. */
export interface Toolchain {
  wasm2c: string;
  objdump: string;
  dmicc: string;
}

/** What has to be installed for which tool. */
const NEEDED = [
  { tool: 'wasm2c', what: 'Debian package wabt' },
  { tool: 'wasm-objdump', what: 'Debian package wabt' },
  { tool: process.env.CC?.split(' ')[0] || 'cc', what: 'Debian package g++' },
] as const;

/** wasm2c's output is taken apart, so its version matters. */
const WASM2C = '1.0.32';

const run = promisify(execFile);

/** Tools that are not there, each with what brings it. */
export function missingTools(): { tool: string; what: string }[] {
  return NEEDED.filter(({ tool }) => find(tool) === null).map(({ tool, what }) => ({ tool, what }));
}

/** @throws DmiError `bad-program` that names what to install */
export function findToolchain(): Toolchain {
  const missing = missingTools();
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(({ what }) => what.replace('Debian package ', '')))];
    throw new DmiError(
      'bad-program',
      `programs in TypeScript need ${missing.map(({ tool }) => tool).join(' and ')}, which ${missing.length > 1 ? 'are' : 'is'} not installed`,
      { hint: `apt-get install ${packages.join(' ')}; dmi doctor shows what else is missing` },
    );
  }
  return { wasm2c: find('wasm2c') as string, objdump: find('wasm-objdump') as string, dmicc: findDmicc() };
}

/** @throws DmiError `bad-program` when it is one whose output we do not know */
export async function checkWasm2c({ wasm2c }: Toolchain): Promise<void> {
  const version = (await run(wasm2c, ['--version'])).stdout.trim();
  if (version === WASM2C || version.startsWith(`${WASM2C} `)) return;
  throw new DmiError('bad-program', `${wasm2c} is version ${version}, not ${WASM2C}`, {
    object: wasm2c,
    hint: `put wabt ${WASM2C} (Debian 12's package wabt) first in PATH`,
  });
}

/** Changes whenever anything that makes the executable does, other than the program's own source. Costs no process. */
export function fingerprint(tools: Toolchain): string {
  const hash = createHash('sha256').update(`${VERSION}\0${process.env.CC ?? ''}\0`);
  const cc = find(NEEDED[2].tool);
  const library = join(tools.dmicc, '../../lib/libdmi.a');
  for (const file of [tools.wasm2c, tools.objdump, tools.dmicc, cc, library]) {
    if (file === null || !existsSync(file)) continue;
    const real = realpathSync(file);
    const { size, mtimeMs } = statSync(real);
    hash.update(`${real}\0${size}\0${mtimeMs}\0`);
  }
  for (const directory of [LIBRARY, RUNTIME, fileURLToPath(new URL('.', import.meta.url))])
    for (const file of filesUnder(directory))
      hash.update(`${file.slice(directory.length)}\0`).update(readFileSync(file));
  return hash.digest('hex');
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.([chs]|ts|js)$/.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .sort();
}

function find(name: string): string | null {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = name.includes('/') ? name : join(directory || '.', name);
    if (existsSync(path)) return path;
  }
  return null;
}

function findDmicc(): string {
  const home = process.env.DMI_HOME;
  const places = [
    ...(home ? [join(home, 'bin/dmicc')] : []),
    fileURLToPath(new URL('../../../native/build/bin/dmicc', import.meta.url)),
  ];
  const found = places.find(existsSync);
  if (found === undefined)
    throw new DmiError('bad-program', 'dmicc is not built', { hint: 'npm run build, or set DMI_HOME' });
  return found;
}
