import { expect, test } from 'vitest';
import { Baselines } from '../bench/src/programs.js';
import { compare, medians, parseMeasurements } from '../bench/src/result.js';
import { human, table } from '../bench/src/table.js';

test('measurements are found among other output', () => {
  const output =
    'starting\n{"name":"a","value":3,"unit":"ns"}\n0.1| {"name":"b","value":2,"unit":"B/s","baseline":4}\n{"name":1}';
  expect(parseMeasurements(output)).toEqual([
    { name: 'a', value: 3, unit: 'ns' },
    { name: 'b', value: 2, unit: 'B/s', baseline: 4 },
  ]);
});

test('a ratio is value over baseline, and a baseline of the same process wins', () => {
  const baseline = { name: 'raw', value: 10, unit: 'ns' } as const;
  expect(compare({ name: 'a', value: 30, unit: 'ns' }, baseline)).toMatchObject({
    baseline: 10,
    ratio: 3,
    against: 'raw',
  });
  expect(compare({ name: 'a', value: 30, unit: 'ns', baseline: 5 }, baseline)).toMatchObject({ baseline: 5, ratio: 6 });
  expect(compare({ name: 'a', value: 30, unit: 'ns' })).toMatchObject({ baseline: null, ratio: null });
});

test('a baseline that was not measured is an error, not an empty ratio', () => {
  const baselines = new Baselines([{ name: 'raw', value: 1, unit: 'ns' }]);
  expect(baselines.get('raw').value).toBe(1);
  expect(() => baselines.get('other')).toThrow('no baseline named other; there are: raw');
});

test('of several rounds the median counts, by name', () => {
  const measured = [3, 9, 4].map(value => ({ name: 'a', value, unit: 'ns' }) as const);
  expect(medians([...measured, { name: 'b', value: 1, unit: 'B/s' }])).toEqual([
    { name: 'a', value: 4, unit: 'ns' },
    { name: 'b', value: 1, unit: 'B/s' },
  ]);
});

test('figures are printed with the prefix a person would use', () => {
  expect(human(2100, 'ns')).toBe('2.10 µs');
  expect(human(6.6e9, 'B/s')).toBe('6.60 GB/s');
  expect(human(12, 'ns')).toBe('12.0 ns');
  expect(table([{ name: 'a', value: 1, unit: 'ns', baseline: null, ratio: null, against: null }])).toContain('NAME');
});
