import { Packr } from 'msgpackr';
import * as v from 'valibot';
import { DmiError } from '../errors.js';

// 64-bit integers decode to numbers; the schemas accept safe integers only, so a rounded one is refused.
const packr = new Packr({ useRecords: false, int64AsType: 'number', encodeUndefinedAsNil: false });

/** One message as MessagePack. Integers that need more than 32 bits are sent as integers, not as floats. */
export function encode(message: object): Buffer {
  return packr.pack(withWideIntegers(message)) as Buffer;
}

/** @throws DmiError `malformed` */
export function decode(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw new DmiError('malformed', `not a MessagePack message (${bytes.length} bytes)`, { cause });
  }
}

/**
 * Checks what came from a socket.
 * @throws DmiError `malformed`, naming the message and the path of the first bad field
 */
export function check<S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? '(whole message)';
  const t = messageName(value);
  throw new DmiError('malformed', `${what}${t ? ` "${t}"` : ''}: ${path}: ${issue.message}`);
}

/** The name in member `t` of a message, if it has a printable one. */
export function messageName(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || !('t' in value)) return null;
  return typeof value.t === 'string' ? value.t.slice(0, 40) : null;
}

/** Views go to many as the same object, and are large: what they were made into is kept as long as they are. */
const converted = new WeakMap<object, unknown>();

function withWideIntegers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('t' in value) || value.t !== 'view') return convert(value);
  const known = converted.get(value) ?? convert(value);
  converted.set(value, known);
  return known;
}

function convert(value: unknown): unknown {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && (value > 0xffff_ffff || value < -0x8000_0000) ? BigInt(value) : value;
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(withWideIntegers);
  const copy: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) if (member !== undefined) copy[key] = withWideIntegers(member);
  return copy;
}
