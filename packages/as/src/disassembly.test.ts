import { describe, expect, it } from 'vitest';
import { parseDisassembly, typeScriptName } from './disassembly.js';

describe('parseDisassembly', () => {
  it('gives the functions in order, with what can show up in a stack', () => {
    const text = [
      '',
      'Code Disassembly:',
      '',
      '00022f func[4] <job/Map<i32%2C~lib/string/String>#get>:',
      ' 000230: 20 01                      | local.get 1 <v>',
      ' 000232: 10 06                      | call 6 <job/other>',
      ' 000234: 28 02 00                   |   i32.load 2 0',
      ' 000236: 0b                         | end',
      '000238 func[5] <job/other>:',
      ' 000239: 6d                         | i32.div_s',
    ].join('\n');
    expect(parseDisassembly(text)).toEqual([
      {
        name: 'job/Map<i32,~lib/string/String>#get',
        anchors: [
          { kind: 'call', offset: 0x232 },
          { kind: 'load', offset: 0x234 },
        ],
      },
      { name: 'job/other', anchors: [{ kind: 'divide', offset: 0x239 }] },
    ]);
  });
});

describe('typeScriptName', () => {
  it.each([
    ['examples/ts/jacobi/sweep', 'sweep'],
    ['job/Point#move', 'Point.move'],
    ['job/Point#get:length', 'Point.get length'],
    ['~lib/array/Array<~lib/string/String>#__get', 'Array<String>[]'],
    ['~lib/typedarray/Float64Array#__set', 'Float64Array[]='],
    ['~lib/rt/tlsf/allocateBlock', ''],
    ['test/~dmi-entry/dmi_thread', ''],
  ])('shows %s as %s', (name, shown) => expect(typeScriptName(name)).toBe(shown));
});
