import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DmiError } from '../errors.js';

/** PEM files. A side that shows a certificate has `cert` and `key`; `ca` is whom the other side's must be signed by. */
export interface TlsFiles {
  cert?: string;
  key?: string;
  ca?: string;
}

/** What is in them. */
export interface TlsMaterial {
  cert?: Buffer;
  key?: Buffer;
  ca?: Buffer;
}

export const TLS_VERSION = 'TLSv1.3';

/** The files that DMI_TLS_CERT, DMI_TLS_KEY and DMI_TLS_CA name. */
export function tlsOfEnvironment(env: NodeJS.ProcessEnv = process.env): TlsFiles {
  const { DMI_TLS_CERT: cert, DMI_TLS_KEY: key, DMI_TLS_CA: ca } = env;
  return { ...(cert ? { cert } : {}), ...(key ? { key } : {}), ...(ca ? { ca } : {}) };
}

export function hasTls(files: TlsFiles): boolean {
  return files.cert !== undefined || files.key !== undefined || files.ca !== undefined;
}

/**
 * Reads and checks the files: what is wrong with them is said here, with the file's name, and not by a handshake later.
 * @throws DmiError `usage`
 */
export function readTls({ cert, key, ca }: TlsFiles, now = new Date()): TlsMaterial {
  if ((cert === undefined) !== (key === undefined)) {
    const [there, missing] = key === undefined ? [cert, 'key'] : [key, 'cert'];
    throw new DmiError('usage', `${there} alone is no use: a certificate and its private key go together`, {
      hint: `give the other as well: --tls-${missing} FILE (DMI_TLS_${missing.toUpperCase()})`,
    });
  }
  const material: TlsMaterial = {};
  if (ca !== undefined) {
    material.ca = readPem(ca, 'CA certificate');
    certificate(ca, material.ca, 'CA certificate', now);
  }
  if (cert === undefined || key === undefined) return material;
  material.cert = readPem(cert, 'certificate');
  material.key = readPem(key, 'private key');
  const shown = certificate(cert, material.cert, 'certificate', now);
  const secret = parsed(key, 'private key', () => createPrivateKey(material.key as Buffer));
  if (!shown.checkPrivateKey(secret)) {
    throw new DmiError('usage', `the private key in ${key} is not that of the certificate in ${cert}`, {
      hint: 'name the key that the certificate was requested with (--tls-key)',
    });
  }
  return material;
}

function readPem(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new DmiError('usage', `cannot read the ${what} ${file}: ${(cause as Error).message}`, {
      hint: 'see docs/cli.md, "TLS", for how to make one',
      cause,
    });
  }
}

function certificate(file: string, pem: Buffer, what: string, now: Date): X509Certificate {
  const found = parsed(file, what, () => new X509Certificate(pem));
  if (new Date(found.validTo) < now) {
    throw new DmiError('usage', `the ${what} in ${file} has expired: it was valid until ${found.validTo}`, {
      hint: 'have a new one signed',
    });
  }
  if (new Date(found.validFrom) > now) {
    throw new DmiError('usage', `the ${what} in ${file} is not valid yet: it will be from ${found.validFrom}`, {
      hint: "is this machine's clock right?",
    });
  }
  return found;
}

function parsed<T>(file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new DmiError('usage', `${file} has no ${what} in PEM (${(cause as Error).message})`, {
      hint: 'it begins with a line like -----BEGIN CERTIFICATE-----; a key must not have a passphrase',
      cause,
    });
  }
}

const UNKNOWN_CA: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
]);

/** Why a certificate was not accepted, in words; null if `code` is about something else. */
export function certificateProblem(code: string): string | null {
  if (UNKNOWN_CA.has(code)) return 'is not signed by a CA that is trusted here';
  if (code === 'CERT_HAS_EXPIRED') return 'has expired';
  if (code === 'CERT_NOT_YET_VALID') return 'is not valid yet';
  if (code === 'INVALID_PURPOSE') return 'is not for this purpose (extendedKeyUsage)';
  return null;
}

/** What went wrong between a `ws` or `wss` address and what listens there, if that is about TLS. */
export function tlsFailure(address: string, code: string, message: string): DmiError | null {
  const { host, hostname } = new URL(address);
  const at = `the coordinator at ${address}`;
  if (address.startsWith('ws:')) {
    // What a TLS port does with a plain request; a coordinator with too many connections at its door, or one that ends, does the same.
    if (code !== 'ECONNRESET') return null;
    return new DmiError('unreachable', `cannot reach ${at}: it closed the connection without an answer`, {
      hint: `if it was started with --tls-cert, write wss://${host}, with --tls-ca FILE (DMI_TLS_CA); else its log says why`,
    });
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new DmiError('tls', `the certificate of ${at} is not for "${hostname}": ${message}`, {
      hint: 'use a name or an address that the certificate has, or have one signed with this one in subjectAltName',
    });
  }
  const problem = certificateProblem(code);
  if (problem !== null) {
    return new DmiError('tls', `the certificate of ${at} ${problem}`, {
      hint: UNKNOWN_CA.has(code)
        ? 'name the file with the CA that signed it: --tls-ca FILE (DMI_TLS_CA)'
        : "have a new one signed for the coordinator, or set this machine's clock",
    });
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' || code === 'EPROTO') {
    return new DmiError('tls', `what listens at ${host} does not speak TLS 1.3 (${message.split('\n')[0]?.trim()})`, {
      hint: `if the coordinator was started without --tls-cert, write ws://${host}`,
    });
  }
  return null;
}
