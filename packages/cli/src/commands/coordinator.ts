import { Coordinator, DEFAULT_LISTEN, DEFAULT_PORT, GRACE_MS } from '@dmi/core';
import type { Command } from 'commander';
import { makeLog } from '../logging.js';
import { type TlsFlags, tlsFiles } from '../tls-flags.js';
import { readToken, seconds } from '../values.js';
import { print, say } from './context.js';
import { onSignals } from './signals.js';

interface Flags extends TlsFlags {
  listen?: string;
  host?: string;
  port?: string;
  tokenFile?: string;
  tlsClientAuth?: boolean;
  grace: number;
  logLevel: string;
}

export function coordinatorCommand(program: Command): void {
  program
    .command('coordinator')
    .description('start a coordinator: the meeting point of a cluster')
    .option('--listen <host:port>', `where to listen (default: ${DEFAULT_LISTEN}; port 0 takes a free one)`)
    .option('--host <host>', 'the host part of --listen alone')
    .option('--port <port>', 'the port part of --listen alone')
    .option('--token-file <file>', 'file with the join token that agents and clients must prove (default: $DMI_TOKEN)')
    .option('--tls-cert <file>', 'use TLS (wss://), with this certificate (default: $DMI_TLS_CERT)')
    .option('--tls-key <file>', 'its private key (default: $DMI_TLS_KEY)')
    .option('--tls-ca <file>', 'the CA of --tls-client-auth (default: $DMI_TLS_CA)')
    .option('--tls-client-auth', 'let in only agents and clients with a certificate that --tls-ca has signed')
    .option(
      '--grace <seconds>',
      'how long an agent may be disconnected before its node is dead',
      seconds,
      GRACE_MS / 1000,
    )
    .option('--log-level <level>', 'trace, debug, info, warn, error', 'info')
    .addHelpText(
      'after',
      '\nPrints its address on stdout. Next, in other terminals:\n  dmi agent --join ws://127.0.0.1:7070\n  dmi run -n 16 ./program',
    )
    .action(async (flags: Flags) => {
      const listen = flags.listen ?? `${flags.host ?? '127.0.0.1'}:${flags.port ?? DEFAULT_PORT}`;
      const files = tlsFiles(flags);
      const clientAuth = flags.tlsClientAuth ?? false;
      const coordinator = await Coordinator.start({
        listen,
        token: readToken(flags.tokenFile),
        tls: clientAuth || Object.keys(files).length > 0 ? { ...files, clientAuth } : null,
        settings: { graceMs: flags.grace * 1000 },
        log: await makeLog('coordinator', flags.logLevel),
      });
      await print(`${coordinator.address}\n`);
      say(`Join it: dmi agent --join ${coordinator.address}`);
      await new Promise<void>(resolve => onSignals(() => resolve()));
      await coordinator.close();
    });
}
