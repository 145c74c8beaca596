/** One figure: times in ns, streams in B/s, rates in 1/s. `ratio` is value / baseline, both from this run. */
export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: Unit;
  readonly baseline: number | null;
  readonly ratio: number | null;
  /** What the baseline is, by the name its program reports. */
  readonly against: string | null;
}

export type Unit = 'ns' | 'B/s' | '1/s' | 'B' | 'cores' | 'messages';

/** What a benchmark program prints, one JSON object per line. */
export interface Measurement {
  readonly name: string;
  readonly value: number;
  readonly unit: Unit;
  readonly baseline?: number;
}

const UNITS: ReadonlySet<string> = new Set(['ns', 'B/s', '1/s', 'B', 'cores', 'messages']);

/** The measurements among a program's output lines; anything else is skipped. */
export function parseMeasurements(output: string): Measurement[] {
  const found: Measurement[] = [];
  for (const line of output.split('\n')) {
    const start = line.indexOf('{"name":');
    if (start < 0) continue;
    const parsed: unknown = JSON.parse(line.slice(start));
    if (isMeasurement(parsed)) found.push(parsed);
  }
  return found;
}

function isMeasurement(value: unknown): value is Measurement {
  if (typeof value !== 'object' || value === null) return false;
  const { name, value: figure, unit } = value as Record<string, unknown>;
  return typeof name === 'string' && typeof figure === 'number' && typeof unit === 'string' && UNITS.has(unit);
}

/** By name, the median of what was measured in several rounds. */
export function medians(measurements: readonly Measurement[]): Measurement[] {
  const rounds = new Map<string, Measurement[]>();
  for (const one of measurements) rounds.set(one.name, [...(rounds.get(one.name) ?? []), one]);
  return [...rounds.values()].map(of => {
    const sorted = of.toSorted((a, b) => a.value - b.value);
    return sorted[sorted.length >> 1] as Measurement;
  });
}

/** Sets a measurement beside a baseline: its own, when its program measured one in the same process, else the given. */
export function compare(measured: Measurement, baseline?: Measurement): Result {
  const { name, value, unit } = measured;
  const base = measured.baseline ?? baseline?.value ?? null;
  const against = measured.baseline === undefined ? (baseline?.name ?? null) : 'its own';
  return { name, value, unit, baseline: base, ratio: base === null ? null : value / base, against };
}
