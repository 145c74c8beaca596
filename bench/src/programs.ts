import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Measurement, parseMeasurements } from './result.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a program to its end and gives its output. Its stderr passes through; more than `seconds` is a failure. */
async function output(command: string, args: readonly string[], seconds: number): Promise<string> {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const timer = setTimeout(() => child.kill('SIGTERM'), seconds * 1000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject).on('close', (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  const what = [command, ...args].join(' ');
  if (code !== 0) throw new Error(`${what}: ${code === null ? `ended by ${signal}` : `exit status ${code}`}\n${text}`);
  return text;
}

/** The same for a program that measures: what it has printed. */
async function measure(command: string, args: readonly string[], seconds: number): Promise<Measurement[]> {
  const text = await output(command, args, seconds);
  const found = parseMeasurements(text);
  if (found.length === 0) throw new Error(`${[command, ...args].join(' ')}: printed no measurement\n${text}`);
  return found;
}

/** A native benchmark program of native/bench. */
export function native(name: string, ...args: string[]): Promise<Measurement[]> {
  const path = `${root}native/build/bench/${name}`;
  if (!existsSync(path)) throw new Error(`${path} is not built; run: npm run build`);
  return measure(path, args, 300);
}

/** Any program that prints measurements. */
export function program(command: string, args: readonly string[]): Promise<Measurement[]> {
  return measure(command, args, 300);
}

/** What runs a guest program of bench/guests on an embedded cluster, through the CLI as a user would start it. */
function guestCommand(options: readonly string[], name: string, args: readonly string[]): string[] {
  const program = `${root}bench/guests/build/${name}`;
  if (!existsSync(program)) throw new Error(`${program} is not built; run: npm run build`);
  return [process.execPath, `${root}packages/cli/bin/dmi.js`, 'run', ...options, '--', program, ...args];
}

export function guest(options: readonly string[], name: string, ...args: string[]): Promise<Measurement[]> {
  return measure('env', guestCommand(options, name, args), 300);
}

/** The same, with nodes that talk over TCP though they are on one machine. */
export function guestOverTcp(options: readonly string[], name: string, ...args: string[]): Promise<Measurement[]> {
  return measure('env', ['DMI_SHARED_MEMORY=0', ...guestCommand(options, name, args)], 300);
}

/** A program of bench/typescript on an embedded cluster. */
export function typescript(options: readonly string[], name: string): Promise<Measurement[]> {
  const cli = `${root}packages/cli/bin/dmi.js`;
  return measure(process.execPath, [cli, 'run', ...options, '--', `bench/typescript/${name}.ts`], 300);
}

/** Any program on an embedded cluster, for what it does rather than what it prints. */
export async function run(options: readonly string[], program: string): Promise<void> {
  await output(process.execPath, [`${root}packages/cli/bin/dmi.js`, 'run', ...options, '--', program], 300);
}

/** Measurements by name; asking for one that is not there is an error. */
export class Baselines {
  readonly #byName: ReadonlyMap<string, Measurement>;

  constructor(measurements: readonly Measurement[]) {
    this.#byName = new Map(measurements.map(m => [m.name, m]));
  }

  get(name: string): Measurement {
    const found = this.#byName.get(name);
    if (!found) throw new Error(`no baseline named ${name}; there are: ${[...this.#byName.keys()].join(', ')}`);
    return found;
  }
}
