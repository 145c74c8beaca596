import { type Command, Option } from 'commander';
import { bytes } from '../show/table.js';
import { type ClientFlags, clientOptions, print, say, withClient } from './context.js';

type Flags = ClientFlags & { output: 'table' | 'json' };

function control(program: Command, name: string, description: string): Command {
  return clientOptions(program.command(name).description(description)).addOption(
    new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table'),
  );
}

export function controlCommands(program: Command): void {
  control(program, 'drain', 'move everything off a node; it leaves when nothing is left on it')
    .argument('<node>', "the node's name, or enough of it")
    .option('--cancel', 'take the drain back: the node stays')
    .action(async (node: string, flags: Flags & { cancel?: boolean }) => {
      if (flags.cancel) {
        const kept = await withClient(flags, client => client.keep(node));
        await print(flags.output === 'json' ? `${JSON.stringify(kept)}\n` : `${kept.node} stays\n`);
        return;
      }
      const result = await withClient(flags, async client => {
        await client.subscribe(event => {
          if (event.event === 'drain-started') say(`draining ${event.node}: ${event.threads} threads`);
          if (event.event === 'moved' && event.cause === 'drain')
            say(`  thread ${event.thread} -> ${event.to}, ${bytes(event.bytes)}`);
          if (event.event === 'move-failed' && event.cause === 'drain') {
            const { thread, reason } = event;
            say(`  ${reason.includes(thread) ? reason : `thread ${thread} stays for now: ${reason}`}`);
          }
        });
        return client.drain(node);
      });
      await print(
        flags.output === 'json'
          ? `${JSON.stringify(result)}\n`
          : `${result.node} drained in ${result.seconds.toFixed(2)} s\n`,
      );
    });
  control(program, 'kill', 'end a job')
    .argument('<job>', "the job's id, or enough of it")
    .action(async (job: string, flags: Flags) => {
      const result = await withClient(flags, client => client.kill(job));
      await print(flags.output === 'json' ? `${JSON.stringify(result)}\n` : `${result.job} ${result.state}\n`);
    });
  control(program, 'move', 'move a thread to a node, where it stays')
    .argument('<thread>', 'its id, as dmi ps shows it')
    .argument('<node>', "the node's name, or enough of it")
    .option('--job <job>', 'its job, if several have a thread of that id')
    .action(async (thread: string, node: string, flags: Flags & { job?: string }) => {
      const result = await withClient(flags, client => client.move(thread, node, flags.job ?? null));
      const { from, to, seconds } = result;
      const text = `${result.thread}: ${from} -> ${to}, ${bytes(result.bytes)} in ${seconds.toFixed(3)} s\n`;
      await print(flags.output === 'json' ? `${JSON.stringify(result)}\n` : text);
    });
}
