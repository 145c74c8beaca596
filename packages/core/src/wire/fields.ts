import * as v from 'valibot';

// The kinds of fields that messages are made of. Everything has a bound: what arrives is not trusted.

export const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'not a name'));
export const id = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/, 'not an id'));
export const thread = v.pipe(v.string(), v.regex(/^\d{1,10}\.\d{1,10}$/, 'not a thread id'));
export const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'not a SHA-256'));
export const text = v.pipe(v.string(), v.maxLength(4096));
export const path = v.pipe(v.string(), v.minLength(1), v.maxLength(4096), v.excludes('\0'));
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const member = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0x7fff_ffff));
export const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));
export const seconds = v.pipe(v.number(), v.finite(), v.minValue(0));
export const binary = v.custom<Uint8Array>(value => value instanceof Uint8Array, 'not bytes');
/** An argument or result that may need all 64 bits. */
export const wide = v.pipe(v.string(), v.regex(/^-?\d{1,20}$/, 'not a decimal number'));

/** A list of at most `max` items. */
export function list<T extends v.GenericSchema>(item: T, max = 65_536) {
  return v.pipe(v.array(item), v.maxLength(max));
}
