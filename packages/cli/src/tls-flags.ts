import { type TlsFiles, tlsOfEnvironment } from '@dmi/core';
import type { Command } from 'commander';

export interface TlsFlags {
  tlsCa?: string;
  tlsCert?: string;
  tlsKey?: string;
}

/** Options of every command that connects to a coordinator. */
export function tlsOptions(command: Command): Command {
  return command
    .option('--tls-ca <file>', "for wss://: the CA that signed the coordinator's certificate (default: $DMI_TLS_CA)")
    .option('--tls-cert <file>', 'a certificate of our own, if the coordinator asks for one (default: $DMI_TLS_CERT)')
    .option('--tls-key <file>', 'its private key (default: $DMI_TLS_KEY)');
}

/** The files that flags name, or the environment. */
export function tlsFiles({ tlsCa, tlsCert, tlsKey }: TlsFlags): TlsFiles {
  return {
    ...tlsOfEnvironment(),
    ...(tlsCa === undefined ? {} : { ca: tlsCa }),
    ...(tlsCert === undefined ? {} : { cert: tlsCert }),
    ...(tlsKey === undefined ? {} : { key: tlsKey }),
  };
}
