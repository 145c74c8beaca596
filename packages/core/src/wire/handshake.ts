import { createHmac, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { MAGIC, VERSION, WIRE_VERSION } from '../constants.js';
import { DmiError } from '../errors.js';
import * as f from './fields.js';

// Who speaks first, and what proves it:
//
//   peer                              coordinator
//   hello {magic, wire, version, role, nonce}  ->
//                        <-  challenge {nonce, mac or null, wire, version}
//   proof {mac}          ->                          (mac null when the cluster has no token)
//                        <-  welcome {session, cluster, term}   or, at any point,   refused {code, reason, hint, leader}
//
// Both sides prove that they know the join token without sending it. A mac covers both nonces, the role and who made it,
// so neither a replayed nor a reflected one is worth anything.

export const role = v.picklist(['agent', 'client']);
export const hello = v.object({
  t: v.literal('hello'),
  magic: v.literal(MAGIC),
  wire: f.count,
  version: f.text,
  role,
  nonce: f.binary,
  /** Features that the peer cannot do without; unknown ones are refused by name. */
  requires: v.optional(f.list(f.text, 64), []),
});
export const challenge = v.object({
  t: v.literal('challenge'),
  wire: f.count,
  version: f.text,
  nonce: f.binary,
  mac: v.nullable(f.binary),
});
export const proof = v.object({ t: v.literal('proof'), mac: v.nullable(f.binary) });
/** `term`: which leader of that cluster this is, ascending; 0: the only one. */
export const welcome = v.object({ t: v.literal('welcome'), session: f.id, cluster: f.text, term: f.count });
export const refused = v.object({
  t: v.literal('refused'),
  code: f.text,
  reason: f.text,
  hint: v.nullish(f.text, null),
  /** Of a standby: who leads. */
  leader: v.optional(f.text),
});
export const toPeerHandshake = v.variant('t', [challenge, welcome, refused]);
export const fromPeerHandshake = v.variant('t', [hello, proof]);

export type Role = v.InferOutput<typeof role>;
export type Hello = v.InferOutput<typeof hello>;
export type Challenge = v.InferOutput<typeof challenge>;
export type Refused = v.InferOutput<typeof refused>;

/** Optional protocol features this build understands. */
export const FEATURES: ReadonlySet<string> = new Set([]);
export const NONCE_BYTES = 32;

/** HMAC-SHA-256 over both nonces, the role, and the side that makes it. */
export function proofMac(
  token: string,
  side: 'peer' | 'coordinator',
  as: Role,
  peer: Uint8Array,
  coordinator: Uint8Array,
) {
  return createHmac('sha256', token)
    .update(`${MAGIC}/${WIRE_VERSION}/${side}/${as}\0`)
    .update(peer)
    .update(coordinator)
    .digest();
}

/** Compares in constant time. */
export function sameMac(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @throws DmiError `version` when the peer cannot be talked to */
export function checkHello(peer: Hello): void {
  if (peer.wire !== WIRE_VERSION || peer.version !== VERSION) {
    throw new DmiError(
      'version',
      `version mismatch: the ${peer.role} is ${describe(peer)}, the coordinator is ${describe()}`,
      {
        hint: 'install the same version of dmi on both machines',
      },
    );
  }
  const unknown = peer.requires.find(feature => !FEATURES.has(feature));
  if (unknown !== undefined) {
    throw new DmiError('version', `the ${peer.role} requires feature "${unknown}", which this coordinator lacks`, {
      hint: 'install the same version of dmi on both machines',
    });
  }
  if (peer.nonce.length !== NONCE_BYTES)
    throw new DmiError('malformed', `hello: nonce: ${peer.nonce.length} bytes, not ${NONCE_BYTES}`);
}

function describe(peer: { version: string; wire: number } = { version: VERSION, wire: WIRE_VERSION }): string {
  return `dmi ${peer.version} (wire ${peer.wire})`;
}
