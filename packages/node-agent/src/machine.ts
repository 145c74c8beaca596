import { readFileSync } from 'node:fs';
import { availableParallelism, hostname, totalmem } from 'node:os';

/** CPU features as the kernel lists them; a thread moves only between machines that have what its start had. */
export function cpuFeatures(): string[] {
  try {
    const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return flags.split(' ').filter(flag => flag !== '');
  } catch {
    return [];
  }
}

/** Cores that this process may use. */
export function defaultCores(): number {
  return availableParallelism();
}

/** Half of the machine's memory, bytes. */
export function defaultMemory(): number {
  return Math.floor(totalmem() / 2);
}

/** The machine's name as a node name: letters, digits, dots and dashes. */
export function defaultName(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 48);
  return name === '' ? 'node' : name;
}
