import { describe, expect, it } from 'vitest';
import { SourceMap } from './source-map.js';

describe('a source map', () => {
  // Offset 10 = a.ts line 1, 14 = b.ts line 3, 46 = b.ts line 2: relative, the sign in the lowest bit.
  const map = new SourceMap(JSON.stringify({ sources: ['a.ts', 'b.ts'], mappings: 'UAAA,ICEA,gCADA' }));

  it('gives the last place at or before an offset', () => {
    expect(map.at(10)).toEqual({ file: 'a.ts', line: 1 });
    expect(map.at(13)).toEqual({ file: 'a.ts', line: 1 });
    expect(map.at(14)).toEqual({ file: 'b.ts', line: 3 });
    expect(map.at(1000)).toEqual({ file: 'b.ts', line: 2 });
  });

  it('gives nothing before the first', () => expect(map.at(9)).toBeNull());
});
