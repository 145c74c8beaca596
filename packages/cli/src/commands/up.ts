import { DEFAULT_LISTEN } from '@dmi/core';
import type { Command } from 'commander';
import { LocalCluster } from '../local-cluster.js';
import { makeLog } from '../logging.js';
import { positive, readToken, size } from '../values.js';
import { print, say } from './context.js';
import { onSignals } from './signals.js';

interface Flags {
  n: number;
  listen: string;
  cores?: number;
  memory?: number;
  tokenFile?: string;
  logLevel: string;
}

export function upCommand(program: Command): void {
  program
    .command('up')
    .description('start a coordinator and some nodes on this machine, in one go')
    .option('-n <nodes>', 'how many nodes', positive, 2)
    .option('--listen <host:port>', 'where the coordinator listens', DEFAULT_LISTEN)
    .option('--cores <n>', "worker threads per node (default: this machine's cores, divided)", positive)
    .option('--memory <size>', 'global memory per node (default: half of this machine, divided)', size)
    .option('--token-file <file>', 'file with a join token (default: $DMI_TOKEN)')
    .option('--log-level <level>', 'trace, debug, info, warn, error', 'info')
    .addHelpText('after', '\nRuns until Ctrl-C. In another terminal: dmi run -n 16 ./program')
    .action(async (flags: Flags) => {
      const cluster = await LocalCluster.start({
        nodes: flags.n,
        listen: flags.listen,
        token: readToken(flags.tokenFile),
        log: await makeLog('dmi', flags.logLevel),
        ...(flags.cores === undefined ? {} : { cores: flags.cores }),
        ...(flags.memory === undefined ? {} : { memory: flags.memory }),
      });
      await print(`${cluster.coordinator.address}\n`);
      say(`${flags.n} nodes. Run something: dmi run -n 16 ./program`);
      await new Promise<void>(resolve => {
        onSignals((_signal, times) => (times === 1 ? resolve() : process.exit(1)));
        // Nodes may be drained one by one; the coordinator stays for others.
      });
      await cluster.stop();
    });
}
