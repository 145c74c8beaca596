import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';

/** What a reader needs to know to set figures of two runs side by side. */
export interface Environment {
  readonly congestionControl: string;
  readonly kernel: string;
  readonly cpus: number;
  readonly cpu: string;
  /** One-minute load when the run began: above 0.5 or so the figures are those of a busy machine. */
  readonly loadBefore: number;
}

export function environment(): Environment {
  return {
    congestionControl: readSetting('/proc/sys/net/ipv4/tcp_congestion_control'),
    kernel: release(),
    cpus: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    loadBefore: loadavg()[0] ?? 0,
  };
}

function readSetting(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
