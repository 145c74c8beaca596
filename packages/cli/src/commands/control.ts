import { type ClusterEvent, DmiError } from '@dmi/core';
import { type Command, Option } from 'commander';
import { DrainProgress } from '../show/drain-progress.js';
import { bytes } from '../show/table.js';
import { deadline } from '../values.js';
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
    .option('--deadline <when>', 'when the machine is gone: 120s, 2m, or a time like 2030-01-31T12:00:00Z', deadline)
    .option('--partial', 'with --deadline: begin even if not everything can be saved in time')
    .addHelpText('after', DRAIN_HELP)
    .action(drain);
  control(program, 'kill', 'end a job')
    .argument('<job>', "the job's id, or enough of it")
    .addHelpText('after', KILL_HELP)
    .action(async (job: string, flags: Flags) => {
      const result = await withClient(flags, client => client.kill(job));
      await print(flags.output === 'json' ? `${JSON.stringify(result)}\n` : `${result.job} ${result.state}\n`);
    });
  control(program, 'move', 'move a thread to a node, where it stays')
    .argument('<thread>', 'its id, as dmi ps shows it')
    .argument('<node>', "the node's name, or enough of it")
    .option('--job <job>', 'its job, if several have a thread of that id')
    .addHelpText('after', MOVE_HELP)
    .action(async (thread: string, node: string, flags: Flags & { job?: string }) => {
      const result = await withClient(flags, client => client.move(thread, node, flags.job ?? null));
      const { from, to, seconds } = result;
      const text =
        from === to
          ? `${result.thread} is on ${to} already, and stays there\n`
          : `${result.thread}: ${from} -> ${to}, ${bytes(result.bytes)} in ${seconds.toFixed(3)} s\n`;
      await print(flags.output === 'json' ? `${JSON.stringify(result)}\n` : text);
    });
  control(program, 'stack', 'show where a thread is in its program: its calls, with symbols and lines')
    .argument('<thread>', 'its id, as dmi ps shows it')
    .option('--job <job>', 'its job, if several have a thread of that id')
    .addHelpText('after', STACK_HELP)
    .action(async (thread: string, flags: Flags & { job?: string }) => {
      const result = await withClient(flags, client => client.stack(thread, flags.job ?? null));
      await print(flags.output === 'json' ? `${JSON.stringify(result)}\n` : result.text);
    });
}

const KILL_HELP = `
  dmi kill jk3                      its threads end wherever they are, and dmi run with status 1 (dmi jobs lists the ids)`;

const MOVE_HELP = `
  dmi move 0.3 n2                   goes on there, at the instruction where it is; the balancer leaves it there

A thread that is there already stays there, which is no error (in JSON "from" and "to" are the same). One that holds what
cannot move (a socket, a pipe, a lock on a file) stays where it is, and the reason is said: dmi ps.`;

const STACK_HELP = `
  dmi stack 0.3                     as a debugger would show it; lines with -g and addr2line

The thread stands still only while its registers and stack are copied.`;

const DRAIN_HELP = `
  dmi drain n3                      as long as it takes; returns when the node has left
  dmi drain n3 --deadline 120s      refused at once if what is on it cannot be moved by then, as far as moves were measured
  dmi drain n3 --deadline 30s --partial    saves what fits, the smallest threads first

With a deadline the largest threads go first while everything fits, else the smallest. When the time is up, what could not be
saved is listed with the reason, the exit status is 4, and the drain goes on (dmi drain n3 --cancel takes it back).`;

type Overdue = Extract<ClusterEvent, { event: 'drain-overdue' }>;

async function drain(
  node: string,
  flags: Flags & { cancel?: boolean; deadline?: number; partial?: boolean },
): Promise<void> {
  const { cancel, deadline, partial = false, output } = flags;
  if (cancel) {
    const kept = await withClient(flags, client => client.keep(node));
    await print(output === 'json' ? `${JSON.stringify(kept)}\n` : `${kept.node} stays\n`);
    return;
  }
  if (partial && deadline === undefined)
    throw new DmiError('usage', '--partial goes with --deadline', { hint: 'see: dmi drain --help' });
  let overdue: Overdue | null = null;
  try {
    const progress = new DrainProgress();
    const result = await withClient(flags, async client => {
      await client.subscribe(event => {
        const line = progress.line(event);
        if (line !== null) say(line);
        if (event.event === 'drain-overdue' && event.node.startsWith(node)) overdue = event;
      });
      return client.drain(node, deadline === undefined ? {} : { deadline, partial });
    });
    const text = `${result.node} drained in ${result.seconds.toFixed(2)} s\n`;
    await print(output === 'json' ? `${JSON.stringify(result)}\n` : text);
  } catch (error) {
    const late = overdue as Overdue | null;
    if (late && output === 'json') await print(`${JSON.stringify(late)}\n`);
    for (const { job, thread, bytes: size, reason } of late?.left ?? [])
      say(`  not saved: thread ${thread} of job ${job}, ${bytes(size)}: ${reason}`);
    throw error;
  }
}
