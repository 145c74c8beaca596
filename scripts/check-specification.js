// Checks that every test SPECIFICATION.md names exists: `path` "title" means that the file has the title in it, and a path
// in backticks that it is there.
import { existsSync, readFileSync } from 'node:fs';

const text = readFileSync('SPECIFICATION.md', 'utf8');
const wrong = [];
for (const [, path, title] of text.matchAll(/`([\w./-]+\/[\w./-]+\.(?:ts|cc))`(?: "([^"]+)")?/g)) {
  if (!existsSync(path)) wrong.push(`${path} does not exist`);
  else if (title && !readFileSync(path, 'utf8').includes(title)) wrong.push(`${path} has no test "${title}"`);
}
for (const line of wrong) process.stderr.write(`SPECIFICATION.md: ${line}\n`);
process.exit(wrong.length === 0 ? 0 : 1);
