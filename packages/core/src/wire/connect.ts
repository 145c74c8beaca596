import { randomBytes } from 'node:crypto';
import type { GenericSchema } from 'valibot';
import { WebSocket } from 'ws';
import { CONNECT_MS, MAGIC, MAX_MESSAGE, VERSION, WIRE_VERSION } from '../constants.js';
import { asDmiError, DmiError, type ErrorCode } from '../errors.js';
import {
  type Challenge,
  NONCE_BYTES,
  proofMac,
  type Refused,
  type Role,
  sameMac,
  toPeerHandshake,
} from './handshake.js';
import { Peer } from './peer.js';
import { hasTls, readTls, TLS_VERSION, type TlsFiles, tlsFailure } from './tls.js';

export interface ConnectOptions {
  /** `ws://host:port`, `wss://host:port`, or `host:port`. */
  address: string;
  role: Role;
  token: string | null;
  /** For `wss`: `ca` instead of the CAs that Node.js trusts; `cert` and `key` if the coordinator asks for them. */
  tls?: TlsFiles;
  onBad: (error: DmiError) => void;
  /** Gives the attempt up. */
  signal?: AbortSignal;
  /** What to claim to be; for tests. */
  version?: string;
  wire?: number;
}

/** A connection whose handshake is complete, and with which leader of which cluster. */
export interface Connected {
  peer: Peer<object>;
  session: string;
  cluster: string;
  term: number;
}

/** A complete `ws://` or `wss://` address. @throws DmiError `usage` */
export function parseAddress(address: string, tls: TlsFiles = {}): string {
  const full = /^wss?:\/\//.test(address) ? address : `${hasTls(tls) ? 'wss' : 'ws'}://${address}`;
  try {
    const url = new URL(full);
    if (url.hostname === '') throw new Error('no host');
    return full;
  } catch (cause) {
    throw new DmiError('usage', `"${address}" is not a coordinator's address`, {
      hint: 'write it like ws://127.0.0.1:7070',
      cause,
    });
  }
}

/**
 * Connects to a coordinator and completes the peer's side of the handshake (wire/handshake.ts).
 * @throws DmiError `unreachable`, `version`, `auth` …
 */
export async function connect(options: ConnectOptions): Promise<Connected> {
  const { tls = {} } = options;
  const address = parseAddress(options.address, tls);
  if (hasTls(tls) && !address.startsWith('wss:')) {
    // Who names a CA means that nothing goes over the network in the clear.
    throw new DmiError('usage', `certificates were given, but ${address} is not encrypted`, {
      hint: `write wss://${new URL(address).host}, or leave --tls-ca, --tls-cert and --tls-key (DMI_TLS_…) out`,
    });
  }
  const material = readTls(tls);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address, {
      maxPayload: MAX_MESSAGE,
      perMessageDeflate: false,
      handshakeTimeout: CONNECT_MS,
      ...(address.startsWith('wss:') ? { ...material, minVersion: TLS_VERSION } : {}),
    });
    let settled = false;
    let failed = false;
    const peer = new Peer<object>(socket, error => fail(reachable(address, error)));
    socket.on('upgrade', response => {
      peer.carrier = response.socket;
    });
    const timer = setTimeout(
      () => fail(new DmiError('timeout', `${address} did not answer within ${CONNECT_MS / 1000} s`)),
      CONNECT_MS,
    );
    const fail = (error: DmiError) => {
      if (failed) return;
      if (settled) return options.onBad(error);
      settled = true;
      failed = true;
      clearTimeout(timer);
      socket.terminate();
      reject(error);
    };
    options.signal?.addEventListener(
      'abort',
      () => settled || fail(new DmiError('unreachable', `${address} was not needed`)),
      { once: true },
    );
    socket.on('close', (_code, reason) => {
      if (!settled) fail(reachable(address, new Error(reason.toString() || 'the connection was closed')));
    });
    socket.on('unexpected-response', (_request, response) => {
      const { statusCode = 0 } = response;
      let text = '';
      response.setEncoding('utf8').on('data', piece => {
        if (text.length < 1_000) text += piece;
      });
      response.on('close', () =>
        fail(
          refusal(
            address,
            statusCode,
            text
              .slice(0, 300)
              .replace(/[^ -~]/g, ' ')
              .trim(),
          ),
        ),
      );
    });
    const nonce = randomBytes(NONCE_BYTES);
    socket.on('open', () => {
      const { version = VERSION, wire = WIRE_VERSION, role } = options;
      peer.send({ t: 'hello', magic: MAGIC, wire, version, role, nonce, requires: [] });
    });
    peer.receive(toPeerHandshake as GenericSchema<unknown, Answer>, 'handshake', message => {
      if (settled) return;
      try {
        if (message.t === 'refused') {
          const { code, reason, hint, leader } = message;
          throw new DmiError(code as ErrorCode, reason, {
            ...(hint ? { hint } : {}),
            ...(code === 'standby' && leader ? { object: leader } : {}),
          });
        }
        if (message.t === 'challenge') {
          peer.send({ t: 'proof', mac: answer(options, nonce, message) });
          return;
        }
        settled = true;
        clearTimeout(timer);
        const { session, cluster, term } = message;
        resolve({ peer, session, cluster, term });
      } catch (error) {
        fail(asDmiError(error));
      }
    });
  });
}

type Answer = Challenge | Refused | { t: 'welcome'; session: string; cluster: string; term: number };

function answer(options: ConnectOptions, nonce: Uint8Array, message: Challenge): Uint8Array | null {
  if (options.token === null) return null;
  if (
    message.mac === null ||
    !sameMac(message.mac, proofMac(options.token, 'coordinator', options.role, nonce, message.nonce))
  ) {
    throw new DmiError('auth', `the coordinator at ${options.address} does not know our token`, {
      hint: 'give the coordinator the same token, or connect without one (unset DMI_TOKEN)',
    });
  }
  return proofMac(options.token, 'peer', options.role, nonce, message.nonce);
}

/** An answer in HTTP: the coordinator's reason not to talk at all (server/coordinator.ts), or something else that listens there. */
function refusal(address: string, status: number, text: string): DmiError {
  if (status === 403) {
    return new DmiError('tls', `the coordinator at ${address} refuses to talk: ${text}`, {
      hint: 'show one that its CA has signed: --tls-cert FILE --tls-key FILE (DMI_TLS_CERT, DMI_TLS_KEY)',
    });
  }
  if (status === 429) {
    return new DmiError('busy', `the coordinator at ${address} refuses to talk: ${text}`, {
      hint: 'check the join token (DMI_TOKEN, --token-file), and try again',
    });
  }
  return new DmiError(
    'unreachable',
    `cannot reach the coordinator at ${address}: HTTP status ${status} is answered there`,
    {
      hint: 'something else may be listening on that port: name the coordinator with DMI_ADDRESS=ws://host:port',
    },
  );
}

function reachable(address: string, error: Error): DmiError {
  if (error instanceof DmiError && error.code !== 'internal') return error;
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause ? cause.code : null;
  const tls = tlsFailure(address, String(code), cause.message);
  if (tls) return tls;
  const why = code === 'ECONNREFUSED' ? 'nothing listens there' : cause.message;
  return new DmiError('unreachable', `cannot reach the coordinator at ${address}: ${why}`, {
    hint: 'start one: dmi coordinator, or name it: DMI_ADDRESS=ws://host:port',
    cause: error,
  });
}
