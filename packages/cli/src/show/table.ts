export type Format = 'table' | 'wide' | 'json';

/** A column: its heading, the text of a row's cell, and whether it is shown with `-o wide` only, or else where a row has something there. */
export interface Column<Row> {
  head: string;
  cell: (row: Row) => string;
  wide?: boolean | 'or said';
  right?: boolean;
}

/** Rows as people (`table`, `wide`) or programs (`json`: one array) read them. */
export function render<Row>(rows: readonly Row[], columns: readonly Column<Row>[], format: Format): string {
  if (format === 'json') return `${JSON.stringify(rows, null, 2)}\n`;
  const shown = columns.filter(
    ({ wide, cell }) => format === 'wide' || !wide || (wide === 'or said' && rows.some(row => cell(row) !== '')),
  );
  const lines = [shown.map(column => column.head), ...rows.map(row => shown.map(column => column.cell(row)))];
  const widths = shown.map((_, i) => Math.max(...lines.map(line => (line[i] ?? '').length)));
  return lines
    .map(
      line =>
        `${line
          .map((cell, i) => (shown[i]?.right ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
