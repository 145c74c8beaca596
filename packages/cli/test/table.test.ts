import { describe, expect, it } from 'vitest';
import { type Column, render } from '../src/show/table.js';

interface Row {
  name: string;
  size: number;
  why: string;
}
const COLUMNS: Column<Row>[] = [
  { head: 'NAME', cell: row => row.name },
  { head: 'SIZE', cell: row => String(row.size), right: true, wide: true },
  { head: 'WHY', cell: row => row.why, wide: 'or said' },
];
const free = { name: 'a', size: 5, why: '' };
const held = { name: 'b', size: 10, why: 'a socket' };

describe('a table', () => {
  it('has a column that is mostly empty only where a row says something in it, or all are asked for', () => {
    expect(render([free], COLUMNS, 'table')).toBe('NAME\na\n');
    expect(render([free, held], COLUMNS, 'table')).toBe('NAME  WHY\na\nb     a socket\n');
    expect(render([free], COLUMNS, 'wide')).toBe('NAME  SIZE  WHY\na        5\n');
  });
});
