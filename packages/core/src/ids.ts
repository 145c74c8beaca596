import { DmiError } from './errors.js';

/**
 * The one id that equals `wanted` or starts with it.
 * @param kind what the ids name, for the message: `node`, `job`, `thread`
 * @throws DmiError `not-found` or `ambiguous`
 */
export function resolvePrefix(kind: string, wanted: string, ids: Iterable<string>): string {
  const matches: string[] = [];
  for (const id of ids) {
    if (id === wanted) return id;
    if (wanted !== '' && id.startsWith(wanted)) matches.push(id);
  }
  const list = kind === 'node' ? 'dmi nodes' : kind === 'job' ? 'dmi jobs' : 'dmi ps';
  const [first, second] = matches;
  if (first === undefined) {
    throw new DmiError('not-found', `there is no ${kind} "${wanted}"`, { object: wanted, hint: `see: ${list}` });
  }
  if (second !== undefined) {
    const some = matches.slice(0, 4).join(', ') + (matches.length > 4 ? ', …' : '');
    throw new DmiError('ambiguous', `"${wanted}" could be any of these ${kind}s: ${some}`, {
      object: wanted,
      hint: 'give more of the id',
    });
  }
  return first;
}

const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789';

/** A short id that is easy to type: `length` characters out of 32, from the random bytes given. */
export function shortId(random: Uint8Array, length = 6): string {
  let id = '';
  for (let i = 0; i < length; i++) id += ALPHABET[(random[i] ?? 0) & 31];
  return id;
}
