import { Coordinator, DEFAULT_LISTEN, DEFAULT_PORT, DmiError, GRACE_MS, openStore, type Store } from '@dmi/core';
import { type Command, InvalidArgumentError } from 'commander';
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
  store: string;
  lease: number;
  storeCa?: string;
  storeCert?: string;
  storeKey?: string;
  storeUser?: string;
  advertise?: string;
  logLevel: string;
}

const HELP = `
Prints its address on stdout. Next, in other terminals:
  dmi agent --join ws://127.0.0.1:7070
  dmi run -n 16 ./program

With a standby, which takes over when the leader is gone; jobs go on meanwhile (docs/standby.md):
  dmi coordinator --listen 10.0.0.1:7070 --store etcd://10.0.0.9:2379/my-cluster     the first one leads,
  dmi coordinator --listen 10.0.0.2:7070 --store etcd://10.0.0.9:2379/my-cluster     further ones stand by
  dmi agent --join ws://10.0.0.1:7070,ws://10.0.0.2:7070                             all are named; the leader is found
  DMI_ADDRESS=ws://10.0.0.1:7070,ws://10.0.0.2:7070 dmi run -n 16 ./program`;

function lease(value: string): number {
  const n = seconds(value);
  if (!Number.isInteger(n) || n < 2 || n > 600) throw new InvalidArgumentError('write whole seconds, from 2 to 600.');
  return n;
}

function storeOf({ store, lease: leaseSeconds, storeCa: ca, storeCert: cert, storeKey: key, storeUser }: Flags): Store {
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  const password = process.env.DMI_STORE_PASSWORD;
  if (storeUser !== undefined && !password) {
    throw new DmiError('usage', `there is no password for the user ${storeUser} of the store`, {
      hint: 'set DMI_STORE_PASSWORD',
    });
  }
  const user = storeUser === undefined || !password ? null : { name: storeUser, password };
  return openStore(store, { leaseSeconds, tls, user });
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
    .option(
      '--store <where>',
      'memory, or etcd://host:port[,host:port]/prefix (etcds:// with TLS), where coordinators of one cluster agree who leads',
      'memory',
    )
    .option('--lease <seconds>', 'with etcd: a leader that is silent for so long is succeeded by a standby', lease, 10)
    .option('--advertise <url>', 'with etcd: what others are told to reach it by (default: where it listens)')
    .option('--store-ca <file>', "with etcds: the CA of etcd's certificate")
    .option('--store-cert <file>', 'with etcds: a certificate to show to etcd')
    .option('--store-key <file>', 'its private key')
    .option('--store-user <name>', 'a user of etcd; the password is in $DMI_STORE_PASSWORD')
    .option('--log-level <level>', 'trace, debug, info, warn, error', 'info')
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const listen = flags.listen ?? `${flags.host ?? '127.0.0.1'}:${flags.port ?? DEFAULT_PORT}`;
      const files = tlsFiles(flags);
      const clientAuth = flags.tlsClientAuth ?? false;
      const store = storeOf(flags);
      const { advertise } = flags;
      const coordinator = await Coordinator.start({
        listen,
        store,
        ...(advertise === undefined ? {} : { advertise }),
        token: readToken(flags.tokenFile),
        tls: clientAuth || Object.keys(files).length > 0 ? { ...files, clientAuth } : null,
        settings: { graceMs: flags.grace * 1000 },
        log: await makeLog('coordinator', flags.logLevel),
      });
      await print(`${coordinator.address}\n`);
      say(
        flags.store === 'memory'
          ? `Join it: dmi agent --join ${coordinator.address}`
          : `Join it: dmi agent --join ADDRESS,ADDRESS (of all coordinators of ${flags.store})`,
      );
      await new Promise<void>(resolve => onSignals(() => resolve()));
      await coordinator.close();
    });
}
