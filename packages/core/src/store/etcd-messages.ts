import * as v from 'valibot';
import * as f from '../wire/fields.js';

// The few of etcd's messages that are needed, as its JSON gateway spells them: keys and values in base64, 64-bit numbers as text.

export type Op = Record<string, object>;

const kv = v.object({
  key: v.string(),
  value: v.optional(v.string(), ''),
  create_revision: v.optional(f.wide, '0'),
  lease: v.optional(f.wide, '0'),
});
type KeyValue = v.InferOutput<typeof kv>;

const response = v.object({
  response_range: v.optional(v.object({ kvs: v.optional(v.array(kv), []) })),
});
export const txnAnswer = v.object({
  header: v.object({ revision: f.wide }),
  succeeded: v.optional(v.boolean(), false),
  responses: v.optional(v.array(response), []),
});

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Condition: the key was made at this revision; '0': it is not there. */
export function created(key: string, revision: string): object {
  return { target: 'CREATE', result: 'EQUAL', key: base64(key), create_revision: revision };
}

/** @param lease ends with it; none: stays */
export function put(key: string, value: unknown, lease = '0'): Op {
  return { request_put: { key: base64(key), value: base64(JSON.stringify(value)), lease } };
}

export function remove(key: string): Op {
  return { request_delete_range: { key: base64(key) } };
}

export function get(key: string): Op {
  return { request_range: { key: base64(key) } };
}

/** All that begin with `prefix`, which ends in "/". */
export function getAll(prefix: string): Op {
  return { request_range: { key: base64(prefix), range_end: base64(`${prefix.slice(0, -1)}0`) } };
}

/** Changes of one key from this revision on. */
export function watched(key: string, revision: bigint): object {
  return { create_request: { key: base64(key), start_revision: `${revision}` } };
}

/** What a range found. */
export function range(answer: v.InferOutput<typeof response> | undefined): readonly KeyValue[] {
  return answer?.response_range?.kvs ?? [];
}

export function keyIn({ key }: KeyValue): string {
  return Buffer.from(key, 'base64').toString();
}

/** Null if somebody else has written what is no JSON. */
export function valueIn({ value }: KeyValue): unknown {
  try {
    return JSON.parse(Buffer.from(value, 'base64').toString());
  } catch {
    return null;
  }
}
