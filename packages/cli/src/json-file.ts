import { readFileSync } from 'node:fs';
import { check, DmiError } from '@dmi/core';

/**
 * What a JSON file says, checked.
 * @param what the file is, for messages: `balance options`
 * @throws DmiError `usage` that names the file, and the path of the first bad member
 */
export function readJson<S extends Parameters<typeof check>[0]>(
  schema: S,
  file: string,
  what: string,
): ReturnType<typeof check<S>> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new DmiError('usage', `cannot read the ${what} from ${file}: ${reason(cause)}`, { object: file, cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DmiError('usage', `${file} is not JSON: ${reason(cause)}`, { object: file, cause });
  }
  try {
    return check(schema, value, `${what} in ${file}`);
  } catch (cause) {
    throw new DmiError('usage', reason(cause), { object: file, cause });
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
