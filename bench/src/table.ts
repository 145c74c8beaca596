import type { Result, Unit } from './result.js';

/** A figure with the prefix a person would use. */
export function human(value: number, unit: Unit): string {
  if (unit === 'ns') {
    if (value < 1e3) return `${value.toPrecision(3)} ns`;
    if (value < 1e6) return `${(value / 1e3).toPrecision(3)} µs`;
    return value < 1e9 ? `${(value / 1e6).toPrecision(3)} ms` : `${(value / 1e9).toPrecision(3)} s`;
  }
  const prefixes = ['', 'k', 'M', 'G', 'T'];
  let scaled = value;
  let i = 0;
  for (; scaled >= 1000 && i < prefixes.length - 1; i++) scaled /= 1000;
  return `${scaled.toPrecision(3)} ${prefixes[i]}${unit}`;
}

export function table(results: readonly Result[]): string {
  const rows = results.map(r => [
    r.name,
    human(r.value, r.unit),
    r.baseline === null ? '' : human(r.baseline, r.unit),
    r.ratio === null ? '' : r.ratio.toPrecision(3),
    r.against ?? '',
  ]);
  const all = [['NAME', 'VALUE', 'BASELINE', 'RATIO', 'AGAINST'], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0))) ?? [];
  const right = new Set([1, 2, 3]);
  return all
    .map(row =>
      row
        .map((cell, i) => (right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
