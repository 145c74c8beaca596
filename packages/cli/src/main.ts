import { asDmiError, VERSION } from '@dmi/core';
import { Command, CommanderError } from 'commander';
import { agentCommand } from './commands/agent.js';
import { buildCommand } from './commands/build.js';
import { controlCommands } from './commands/control.js';
import { coordinatorCommand } from './commands/coordinator.js';
import { doctorCommand } from './commands/doctor.js';
import { initCommand } from './commands/init.js';
import { planCommand } from './commands/plan.js';
import { runCommand } from './commands/run.js';
import { simCommand } from './commands/sim.js';
import { tableCommands } from './commands/tables.js';
import { upCommand } from './commands/up.js';
import { EXIT, Exit, exitStatus, explain } from './exit.js';

const HELP = `
A job keeps computing while nodes join and leave: its threads and its global memory move.

Try it on this machine alone:
  dmi run --local 4 -n 16 -- ./program        four nodes for one job

A program in TypeScript:
  dmi init my-job                             a directory to begin with
  dmi run --local 4 -n 16 my-job/job.ts       compiled to native code, once

A cluster:
  dmi up -n 4                                 coordinator and nodes in one terminal; or, one by one:
  dmi coordinator                             the meeting point
  dmi agent --join ws://127.0.0.1:7070        a node; Ctrl-C drains it
  dmi run -n 16 ./program                     a job
  dmi nodes, dmi ps, dmi jobs                 what is where
  dmi plan                                    what would be moved now, and why

Ids may be shortened as long as they are unique. Exit status: 0 done, 1 failed, 2 usage, 3 unreachable, 4 timeout.
Environment: DMI_ADDRESS (the coordinator, or all that may lead: ws://a:7070,ws://b:7070), DMI_TOKEN (join token),
  DMI_TLS_CA, DMI_TLS_CERT, DMI_TLS_KEY, DMI_STORE_PASSWORD, DMI_CACHE_DIR (program images), NO_COLOR.`;

function makeProgram(): Command {
  const program = new Command('dmi')
    .description('An elastic PGAS runtime: run a parallel program on machines that come and go.')
    .version(VERSION)
    .enablePositionalOptions()
    .showHelpAfterError('(dmi --help, or dmi COMMAND --help, tells more)')
    .exitOverride()
    .addHelpText('after', HELP);
  runCommand(program);
  buildCommand(program);
  initCommand(program);
  upCommand(program);
  coordinatorCommand(program);
  agentCommand(program);
  tableCommands(program);
  planCommand(program);
  controlCommands(program);
  doctorCommand(program);
  simCommand(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError('(add --help to see how it is used)');
  return program;
}

async function main(): Promise<Exit> {
  try {
    await makeProgram().parseAsync();
    return new Exit(EXIT.done);
  } catch (thrown) {
    if (thrown instanceof Exit) return thrown;
    if (thrown instanceof CommanderError) return new Exit(thrown.exitCode === 0 ? EXIT.done : EXIT.usage);
    const error = asDmiError(thrown);
    process.stderr.write(
      error.code === 'internal'
        ? `dmi: internal error: ${error.cause instanceof Error ? error.cause.stack : error.message}\n`
        : explain(error),
    );
    return new Exit(exitStatus(error));
  }
}

// Who reads us may have read enough (`dmi nodes | head`).
for (const stream of [process.stdout, process.stderr])
  stream.on('error', error => {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(EXIT.failed);
    throw error;
  });
const { status, hurry } = await main();
// Nothing that was printed may be lost, and nothing that is left open may keep us.
const written = [process.stdout, process.stderr].map(stream => new Promise(resolve => stream.write('', resolve)));
if (!hurry) await Promise.all(written);
process.exit(status);
