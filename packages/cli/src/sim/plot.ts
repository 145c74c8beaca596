import { align } from './numbers.js';
import type { Summary } from './random-address.js';

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 70;
const BOTTOM = 60;
const TOP = 40;

/** An SVG picture: address spaces (mean as a point, min to max as a bar) over alignment. */
export function plot(rows: readonly Summary[]): string {
  const top = Math.max(...rows.map(row => row.max)) * 1.1;
  const x = (i: number) => LEFT + ((i + 0.5) / rows.length) * (WIDTH - LEFT - 20);
  const y = (spaces: number) => HEIGHT - BOTTOM - (spaces / top) * (HEIGHT - BOTTOM - TOP);
  const first = rows[0];
  const title = first
    ? `${first.processes} processes of ${align.show(first.bytes)} bytes in ${first.pieces} pieces, ${first.addressBits} address bits, ${first.trials} trials`
    : '';
  const ticks = Array.from({ length: 6 }, (_, i) => (top * i) / 5);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${WIDTH / 2}" y="20" text-anchor="middle">${title}</text>`,
    ...ticks.map(
      tick =>
        `<path d="M${LEFT} ${y(tick).toFixed(1)}H${WIDTH - 20}" stroke="#ddd"/>` +
        `<text x="${LEFT - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${tick >= 100 ? Math.round(tick) : tick.toFixed(1)}</text>`,
    ),
    ...rows.map(
      (row, i) =>
        `<path d="M${x(i).toFixed(1)} ${y(row.min).toFixed(1)}V${y(row.max).toFixed(1)}" stroke="#4a7" stroke-width="6"/>` +
        `<circle cx="${x(i).toFixed(1)}" cy="${y(row.mean).toFixed(1)}" r="4" fill="#135"/>` +
        `<text x="${x(i).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${align.show(row.align)}</text>`,
    ),
    `<path d="M${rows.map((row, i) => `${x(i).toFixed(1)} ${y(row.mean).toFixed(1)}`).join('L')}" stroke="#135" fill="none"/>`,
    `<text x="${WIDTH / 2}" y="${HEIGHT - 16}" text-anchor="middle">alignment in bytes</text>`,
    `<text x="16" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 ${HEIGHT / 2})">address spaces</text>`,
    '</svg>\n',
  ].join('\n');
}
