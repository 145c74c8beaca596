import { constants } from 'node:crypto';
import type { ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { DmiError } from '../errors.js';
import { certificateProblem, hasTls, readTls, TLS_VERSION, type TlsFiles } from '../wire/tls.js';

export interface ServerTls extends TlsFiles {
  /** Agents and clients have to show a certificate that `ca` has signed. */
  clientAuth?: boolean;
}

/** What a coordinator's HTTPS server is made with. @throws DmiError `usage` */
export function serverTls(files: ServerTls): ServerOptions {
  const { clientAuth = false } = files;
  if (files.cert === undefined && (clientAuth || hasTls(files)) && files.key === undefined) {
    throw new DmiError('usage', 'a coordinator that uses TLS needs a certificate and its private key', {
      hint: 'give both: --tls-cert FILE --tls-key FILE (DMI_TLS_CERT, DMI_TLS_KEY)',
    });
  }
  if (clientAuth && files.ca === undefined) {
    throw new DmiError('usage', 'no CA is named that the certificates of agents and clients have to be signed by', {
      hint: '--tls-client-auth needs --tls-ca FILE (DMI_TLS_CA)',
    });
  }
  return {
    ...readTls(files),
    minVersion: TLS_VERSION,
    // Who shows no good certificate is told so by the answer to the request (peerCertificate), not by a connection that just ends.
    requestCert: clientAuth,
    rejectUnauthorized: false,
    // A session that is resumed shows no certificate again, and Node.js takes it for authorized.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Why a peer is not let in that had to show a certificate; null if it is. */
export function peerCertificate(socket: TLSSocket): string | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || socket.isSessionReused()) return 'it asks for a certificate, and none was shown';
  if (socket.authorized) return null;
  // Typed as an Error, it is OpenSSL's name for what is wrong.
  const code = String(socket.authorizationError);
  const subject = certificate.subject.replace(/[^ -~]/g, ' ').slice(0, 100);
  return `the certificate "${subject}" ${certificateProblem(code) ?? `was not accepted (${code})`}`;
}
