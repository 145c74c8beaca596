import { DEFAULT_ADDRESS, GRACE_MS } from '@dmi/core';
import { Agent, parseSpot, type SpotSource } from '@dmi/node-agent';
import { type Command, Option } from 'commander';
import { EXIT, Exit, explain } from '../exit.js';
import { makeLog } from '../logging.js';
import { type TlsFlags, tlsFiles, tlsOptions } from '../tls-flags.js';
import { positive, readToken, seconds, size } from '../values.js';
import { print } from './context.js';
import { onSignals } from './signals.js';

interface Flags extends TlsFlags {
  join?: string;
  name?: string;
  cores?: number;
  memory?: number;
  dataAddress?: string;
  tokenFile?: string;
  retry: number;
  spot: SpotSource;
  logLevel: string;
}

const HELP = `
Ctrl-C (SIGTERM) drains the node: its threads and memory move to the others, then it leaves. A second one stops at once.

Spot machines: --spot aws, gce or azure asks the cloud's metadata service; a notice becomes a drain with its deadline.
(aws=URL asks a service elsewhere.) --spot file:PATH watches for a file that says how many seconds are left, or a time; --spot sigterm:30 takes SIGTERM as a
notice that 30 s are left.`;

export function agentCommand(program: Command): void {
  tlsOptions(program.command('agent'))
    .description('make this machine a node of a cluster')
    .option(
      '--join <url>',
      `the coordinator, or all that may lead: ws://a:7070,ws://b:7070 (default: $DMI_ADDRESS, or ${DEFAULT_ADDRESS})`,
    )
    .option('--name <name>', "the node's name (default: the machine's, with a number if it is taken)")
    .option('--cores <n>', 'worker threads per job (default: the cores of this machine)', positive)
    .option('--memory <size>', 'global memory offered to each job, like 4G (default: half of this machine)', size)
    .option(
      '--data-address <address>',
      'where other nodes reach this one (default: the address towards the coordinator)',
    )
    .option('--token-file <file>', 'file with the join token (default: $DMI_TOKEN)')
    .option(
      '--retry <seconds>',
      'how long to try to come back to a coordinator that is gone, while jobs go on',
      seconds,
      GRACE_MS / 1000,
    )
    .addOption(
      new Option(
        '--spot <source>',
        'leave in time when this machine is going to be taken away: aws, gce, azure, file:PATH, sigterm:SECONDS or none',
      )
        .argParser(parseSpot)
        .default({ kind: 'none' }, 'none'),
    )
    .option('--log-level <level>', 'trace, debug, info, warn, error', 'info')
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const { name, cores, memory, dataAddress } = flags;
      const agent = await Agent.start({
        join: flags.join ?? (process.env.DMI_ADDRESS || DEFAULT_ADDRESS),
        token: readToken(flags.tokenFile),
        tls: tlsFiles(flags),
        retryMs: flags.retry * 1000,
        log: await makeLog('agent', flags.logLevel),
        spot: flags.spot,
        ...(name === undefined ? {} : { name }),
        ...(cores === undefined ? {} : { cores }),
        ...(memory === undefined ? {} : { memory }),
        ...(dataAddress === undefined ? {} : { address: dataAddress }),
      });
      await print(`${agent.name}\n`);
      const forget = onSignals((signal, times) => {
        const notice = flags.spot.kind === 'sigterm' && signal === 'SIGTERM' ? flags.spot.seconds : null;
        if (times === 1) agent.leave(signal, notice);
        else void agent.stop();
      });
      const end = await agent.ended;
      forget();
      if (end.how === 'lost') {
        process.stderr.write(explain(end.error));
        throw new Exit(EXIT.unreachable);
      }
      if (end.how === 'stopped') throw new Exit(EXIT.failed);
    });
}
