import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { GenericSchema } from 'valibot';
import type { WebSocket } from 'ws';
import { MAX_MESSAGE, VERSION, WIRE_VERSION } from '../constants.js';
import { asDmiError, DmiError } from '../errors.js';
import { shortId } from '../ids.js';
import {
  checkHello,
  fromPeerHandshake,
  type Hello,
  NONCE_BYTES,
  proofMac,
  type Role,
  sameMac,
} from '../wire/handshake.js';
import { CLOSE, Peer } from '../wire/peer.js';
import { limitMessages } from './message-limit.js';

/** A connection that has completed the handshake. */
export interface Accepted {
  peer: Peer<object>;
  role: Role;
  session: string;
}

export interface AcceptOptions {
  token: string | null;
  /** Asked when the peer has proved itself: the leader's cluster and term, or who leads instead. */
  reign: () => { cluster: string; term: number } | { leader: string | null };
  onBad: (error: DmiError) => void;
  /** Seconds that the peer has to wait because others at its address have failed too often since it connected. */
  wait: () => number;
  /** Takes what ends the handshake when its time is over. */
  onOverdue: (end: (error: DmiError) => void) => void;
}

/**
 * The coordinator's side of the handshake (wire/handshake.ts). `carrier`: what the WebSocket runs over.
 * @returns null if this coordinator does not lead: the peer has been told who does
 * @throws DmiError saying why the peer was refused; it has been told, and the connection is closed
 */
export function accept(socket: WebSocket, carrier: Duplex, options: AcceptOptions): Promise<Accepted | null> {
  return new Promise((resolve, reject) => {
    const peer = new Peer<object>(socket, error => fail(error));
    peer.carrier = carrier;
    let settled = false;
    const fail = (error: DmiError) => {
      if (settled) return options.onBad(error);
      settled = true;
      peer.send({ t: 'refused', code: error.code, reason: error.message, hint: error.hint ?? null });
      peer.close(CLOSE.refused, error.message);
      reject(error);
    };
    options.onOverdue(error => settled || fail(error));
    socket.on('close', () => {
      if (!settled) fail(new DmiError('unreachable', 'closed before the handshake was complete'));
    });

    let hello: Hello | null = null;
    const nonce = randomBytes(NONCE_BYTES);
    peer.receive(fromPeerHandshake as GenericSchema<unknown, Message>, 'handshake', message => {
      if (settled) return;
      try {
        if (message.t === 'hello' && hello === null) {
          checkHello(message);
          hello = message;
          const mac =
            options.token === null ? null : proofMac(options.token, 'coordinator', message.role, message.nonce, nonce);
          peer.send({ t: 'challenge', wire: WIRE_VERSION, version: VERSION, nonce, mac });
        } else if (message.t === 'proof' && hello !== null) {
          const wait = options.wait();
          if (wait > 0) throw new DmiError('busy', tooManyFailures(wait));
          checkProof(options.token, hello, nonce, message.mac);
          settled = true;
          const reign = options.reign();
          if ('leader' in reign) {
            const { code, message, hint, object } = elsewhere(reign.leader);
            peer.send({ t: 'refused', code, reason: message, hint: hint ?? null, ...(object && { leader: object }) });
            peer.close(CLOSE.refused, message);
            resolve(null);
            return;
          }
          limitMessages(socket, MAX_MESSAGE);
          const session = shortId(randomBytes(16), 16);
          peer.send({ t: 'welcome', session, ...reign });
          resolve({ peer, role: hello.role, session });
        } else {
          throw new DmiError('malformed', `handshake: "${message.t}" out of turn`);
        }
      } catch (error) {
        fail(asDmiError(error));
      }
    });
  });
}

/** What a standby says; `object` is the leader. */
function elsewhere(leader: string | null): DmiError {
  const reason = leader === null ? 'nobody leads at the moment' : `the leader is ${leader}`;
  return new DmiError('standby', `this coordinator stands by: ${reason}`, {
    hint: 'name all coordinators, separated by commas: DMI_ADDRESS=ws://a:7070,ws://b:7070',
    ...(leader === null ? {} : { object: leader }),
  });
}

export function tooManyFailures(seconds: number): string {
  return `too many failed attempts from your address; wait ${seconds} s`;
}

type Message = Hello | { t: 'proof'; mac: Uint8Array | null };

function checkProof(token: string | null, hello: Hello, nonce: Uint8Array, mac: Uint8Array | null): void {
  if (token === null) return;
  if (mac === null || !sameMac(mac, proofMac(token, 'peer', hello.role, hello.nonce, nonce))) {
    const what = mac === null ? 'no token was given' : 'the token is wrong';
    throw new DmiError('auth', `this cluster asks for a join token, and ${what}`, {
      hint: 'set DMI_TOKEN, or use --token-file',
    });
  }
}
