// Exits 0 when node_modules holds what package-lock.json asks for, judged by npm's own record of the last install.
import { readFileSync } from 'node:fs';

const read = path => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
};
const wanted = read('package-lock.json');
const installed = read('node_modules/.package-lock.json');
const current =
  wanted &&
  installed &&
  Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/')) return true;
    const there = installed[path];
    return there ? there.version === entry.version : entry.optional === true || entry.peer === true;
  });
process.exit(current ? 0 : 1);
