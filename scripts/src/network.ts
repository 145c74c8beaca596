import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** `ip netns` keeps them here, by name. */
const NAMESPACES = '/run/netns';
/** Where frames go whose receiver has been cut off: nobody has this address. */
const NOWHERE = '02:00:00:00:00:fe';

/** `dmi-PID-START-NETWORK-MACHINE`: whose it is, so that what a killed test has left behind can be told from what others use. */
const OURS = /^dmi-(\d+)-(\d+)-/;

/**
 * Machines with addresses of their own, joined by a switch: network namespaces, one each and one for the bridge. Links between
 * two machines can be cut, a machine's plug pulled, its link made slow. Needs root.
 */
export class Network {
  static #count = 0;
  readonly #prefix: string;
  readonly #addresses = new Map<string, string>();

  private constructor() {
    this.#prefix = `dmi-${process.pid}-${startOf(process.pid)}-${Network.#count++}`;
    sweep();
    ip(['netns', 'add', this.#space('switch')]);
    ip(['link add br0 type bridge', 'link set br0 up'], this.#space('switch'));
  }

  /** Why there can be no networks here; null: there can. */
  static missing(): string | null {
    if (process.getuid?.() !== 0) return 'network namespaces need root';
    if (spawnSync('tc', ['-V']).error || spawnSync('ip', ['-V']).error) return 'no ip and tc here: install iproute2';
    const name = `dmi-${process.pid}-${startOf(process.pid)}-try`;
    if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return 'this system makes no network namespaces';
    const made = spawnSync('ip', ['-n', name, 'link', 'add', 'br0', 'type', 'bridge']);
    ip(['netns', 'del', name]);
    return made.status === 0 ? null : 'this kernel has no bridges';
  }

  static of(machines: readonly string[]): Network {
    const network = new Network();
    try {
      for (const machine of machines) network.add(machine);
      return network;
    } catch (error) {
      network.remove();
      throw error;
    }
  }

  add(machine: string): void {
    const n = this.#addresses.size + 1;
    const address = `10.77.${n >> 8}.${n & 255}`;
    const [space, hub] = [this.#space(machine), this.#space('switch')];
    ip(['netns', 'add', space]);
    this.#addresses.set(machine, address);
    ip(
      [`link add p${n} type veth peer name eth0 netns ${space}`, `link set p${n} master br0`, `link set p${n} up`],
      hub,
    );
    ip(['link set lo up', `address add ${address}/16 dev eth0`, 'link set eth0 up'], space);
  }

  address(machine: string): string {
    const address = this.#addresses.get(machine);
    if (address === undefined) throw new Error(`the network has no machine ${machine}`);
    return address;
  }

  /** The command that runs `command` on a machine. */
  on(machine: string, command: readonly string[]): [string, ...string[]] {
    this.address(machine);
    return ['ip', 'netns', 'exec', this.#space(machine), ...command];
  }

  /** From now on the two do not hear of each other, and nobody tells them. */
  cut(a: string, b: string): void {
    for (const [from, to] of pairs(a, b))
      ip([`neighbor replace ${this.address(to)} lladdr ${NOWHERE} nud permanent dev eth0`], this.#space(from));
  }

  mend(a: string, b: string): void {
    for (const [from, to] of pairs(a, b)) ip([`neighbor del ${this.address(to)} dev eth0`], this.#space(from));
  }

  /** Nothing gets to a machine or away from it any more. */
  unplug(machine: string): void {
    ip([`link set ${this.#port(machine)} down`], this.#space('switch'));
  }

  /** Limits what a machine sends and what it gets, each. @param rate like `10mbit` */
  limit(machine: string, rate: string): void {
    const mbit = Number.parseInt(rate, 10) * (rate.endsWith('gbit') ? 1000 : 1);
    const burst = `${Math.max(64, Math.ceil(mbit / 8))}kb`; // a millisecond's worth
    for (const [space, device] of [
      [this.#space(machine), 'eth0'],
      [this.#space('switch'), this.#port(machine)],
    ] as const) {
      const shape = ['root', 'tbf', 'rate', rate, 'burst', burst, 'latency', '100ms'];
      execFileSync('tc', ['-n', space, 'qdisc', 'replace', 'dev', device, ...shape], { stdio: 'pipe' });
    }
  }

  /** Ends what still runs on the machines, and takes them away. */
  remove(): void {
    for (const name of namespaces()) if (name.startsWith(`${this.#prefix}-`)) dismantle(name);
  }

  #space(machine: string): string {
    return `${this.#prefix}-${machine}`;
  }

  #port(machine: string): string {
    this.address(machine);
    return `p${[...this.#addresses.keys()].indexOf(machine) + 1}`;
  }
}

function pairs(a: string, b: string): [string, string][] {
  return [
    [a, b],
    [b, a],
  ];
}

/** One `ip` command as words, or several as lines in a namespace. */
function ip(commands: readonly string[], space?: string): void {
  if (space === undefined) execFileSync('ip', commands, { stdio: 'pipe' });
  else
    execFileSync('ip', ['-n', space, '-batch', '-'], { stdio: ['pipe', 'pipe', 'pipe'], input: commands.join('\n') });
}

function namespaces(): string[] {
  return existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
}

function dismantle(name: string): void {
  const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout ?? '';
  for (const pid of pids.split('\n').filter(line => line !== '')) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }
  spawnSync('ip', ['netns', 'del', name]);
}

/** Networks of processes that are no more: tests that were killed could not remove theirs. */
function sweep(): void {
  for (const name of namespaces()) {
    const [, pid, start] = OURS.exec(name) ?? [];
    if (pid !== undefined && startOf(Number(pid)) !== start) dismantle(name);
  }
}

/** When a process was started, in clock ticks: with its id, a name that is used once. Null: there is no such process. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
