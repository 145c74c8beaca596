import type { Figures } from './figures.js';

const WIDTH = 900;
const LEFT = 70;
const RIGHT = 20;
const [TOP, UPPER, GAP, LOWER] = [50, 200, 50, 240];
const COLOURS = ['#4477aa', '#66ccee', '#228833', '#ccbb44', '#ee6677', '#aa3377', '#bbbbbb', '#332288'];

/** An SVG picture: above, milliseconds per iteration; below, threads on each node; over the seconds of the run. */
export function picture(title: string, { changes, iterations, threads }: Figures): string {
  const end = Math.max(...iterations.map(({ time }) => time), 1e-3);
  const x = (time: number) => LEFT + (Math.min(Math.max(time, 0), end) / end) * (WIDTH - LEFT - RIGHT);
  // A single stop must not flatten everything else.
  const sorted = iterations.map(({ seconds }) => seconds * 1000).sort((a, b) => a - b);
  const most = 1.2 * (sorted[Math.floor(sorted.length * 0.98)] ?? 1);
  const y = (ms: number) => TOP + UPPER * (1 - Math.min(ms, most) / most);
  const base = TOP + UPPER + GAP + LOWER;
  const total = Math.max(1, ...threads.map(({ nodes }) => Object.values(nodes).reduce((sum, n) => sum + n, 0)));
  const height = (n: number) => (n / total) * LOWER;

  const points = iterations.map(({ time, seconds }) => `${x(time).toFixed(1)} ${y(seconds * 1000).toFixed(1)}`);
  const names = [...new Set(threads.flatMap(({ nodes }) => Object.keys(nodes)))].sort(byNumber);
  const bars = threads.flatMap(({ time, nodes }, i) => {
    const [from, to] = [x(time), x(threads[i + 1]?.time ?? end)];
    if (to - from < 0.01) return [];
    let top = base;
    return names.map((name, n) => {
      const h = height(nodes[name] ?? 0);
      top -= h;
      const colour = COLOURS[n % COLOURS.length];
      return `<rect x="${from.toFixed(2)}" y="${top.toFixed(1)}" width="${(to - from).toFixed(2)}" height="${h.toFixed(1)}" fill="${colour}" stroke="white" stroke-width="0.3"/>`;
    });
  });
  const marks = changes.map(({ kind, nodes, begin, seconds }) => {
    const [from, to] = [x(begin), x(begin + seconds)];
    const width = Math.max(1, to - from).toFixed(1);
    return (
      `<rect x="${from.toFixed(1)}" y="${TOP}" width="${width}" height="${base - TOP}" fill="#000" opacity="0.08"/>` +
      `<text x="${from.toFixed(1)}" y="${TOP - 6}">${kind === 'join' ? '+' : '−'}${nodes} nodes</text>`
    );
  });
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap(part => [
    label(LEFT - 6, y(part * most) + 4, 'end', (part * most).toFixed(most < 10 ? 1 : 0)),
    label(LEFT - 6, base - height(part * total) + 4, 'end', String(Math.round(part * total))),
    label(x(part * end), base + 18, 'middle', (part * end).toFixed(end < 20 ? 1 : 0)),
    `<path d="M${LEFT} ${y(part * most).toFixed(1)}H${WIDTH - RIGHT}" stroke="#ddd"/>`,
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${base + 44}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${base + 44}" fill="white"/>`,
    label(WIDTH / 2, 20, 'middle', title),
    ...grid,
    ...bars.flat().filter(bar => !bar.includes('height="0.0"')),
    ...marks,
    `<path d="M${points.join('L')}" stroke="#135" stroke-width="1.2" fill="none"/>`,
    label(16, TOP + UPPER / 2, 'middle', 'ms per iteration', ` transform="rotate(-90 16 ${TOP + UPPER / 2})"`),
    label(16, base - LOWER / 2, 'middle', 'threads, by node', ` transform="rotate(-90 16 ${base - LOWER / 2})"`),
    label(WIDTH / 2, base + 36, 'middle', 'seconds'),
    '</svg>\n',
  ].join('\n');
}

function label(x: number, y: number, anchor: string, text: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${text}</text>`;
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
