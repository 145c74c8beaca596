#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dmicc = fileURLToPath(new URL('../../../native/build/bin/dmicc', import.meta.url));
if (!existsSync(dmicc)) {
  process.stderr.write('dmicc: not built yet; run: npm run build\n');
  process.exit(1);
}
const { status, error } = spawnSync(dmicc, process.argv.slice(2), { stdio: 'inherit' });
if (error) process.stderr.write(`dmicc: ${error.message}\n`);
process.exit(status ?? 1);
