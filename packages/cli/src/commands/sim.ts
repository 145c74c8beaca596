import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { render } from '../show/table.js';
import { align, power } from '../sim/numbers.js';
import { plot } from '../sim/plot.js';
import { type Layout, type Summary, simulate } from '../sim/random-address.js';
import { positive } from '../values.js';
import { print } from './context.js';
import { simBalanceCommand } from './sim-balance.js';

interface Flags extends Layout {
  trials: number;
  seed: number;
  threads: number;
  sweep?: boolean;
  json?: boolean;
  svg?: string;
}

export function simCommand(program: Command): void {
  const sim = program.command('sim').description('simulations');
  simBalanceCommand(sim);
  sim
    .command('random-address')
    .description('how many address spaces threads need whose memory lies at random addresses (docs/random-address.md)')
    .option('--address-bits <n>', 'size of an address space: 2^n bytes', positive, 47)
    .option('--processes <n>', 'how many', power, 16_384)
    .addOption(new Option('--bytes <n>', 'of memory each').argParser(power).default(2 ** 32, '2^32'))
    .option('--pieces <n>', 'that the memory of each consists of', power, 1)
    .option('--align <n>', 'a piece starts at a multiple of this', power, 1)
    .option('--trials <n>', 'how often everything is drawn anew', positive, 10)
    .option('--seed <n>', 'of the first trial; the next have the next ones', positive, 1)
    .option('--threads <n>', 'processors to use', positive, availableParallelism())
    .option('--sweep', 'one line for each power of two as alignment, from 1 to 16 pieces')
    .option('--svg <file>', 'draws the result')
    .option('--json', 'an object, or with --sweep an array')
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const { trials, seed, threads, addressBits, processes, bytes, pieces } = flags;
      const alignments = flags.sweep ? align.sweep(bytes / pieces) : [flags.align];
      const rows: Summary[] = [];
      for (const align of alignments)
        rows.push(await simulate({ addressBits, processes, bytes, pieces, align }, { trials, seed, threads }));
      if (flags.svg !== undefined) writeFileSync(flags.svg, plot(rows));
      if (flags.json) await print(`${JSON.stringify(flags.sweep ? rows : rows[0])}\n`);
      else await print(render(rows, COLUMNS, 'table'));
    });
}

const HELP = `
  dmi sim random-address                             a contiguous region each: about six address spaces
  dmi sim random-address --pieces 65536 --trials 1   cut into pieces: thousands, in a minute
  dmi sim random-address --sweep --svg sweep.svg     which alignment is best`;

const COLUMNS = [
  { head: 'PIECES', cell: (row: Summary) => String(row.pieces), right: true },
  { head: 'PIECE', cell: (row: Summary) => align.show(row.bytes / row.pieces), right: true },
  { head: 'ALIGN', cell: (row: Summary) => align.show(row.align), right: true },
  { head: 'TRIALS', cell: (row: Summary) => String(row.trials), right: true },
  { head: 'ADDRESS SPACES', cell: (row: Summary) => row.mean.toFixed(1), right: true },
  { head: 'MIN', cell: (row: Summary) => String(row.min), right: true },
  { head: 'MAX', cell: (row: Summary) => String(row.max), right: true },
  { head: 'PAIRS THAT MEET', cell: (row: Summary) => `${(row.meet * 100).toPrecision(3)} %`, right: true },
];
