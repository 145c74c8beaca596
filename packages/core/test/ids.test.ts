import { describe, expect, it } from 'vitest';
import { resolvePrefix, shortId } from '../src/ids.js';

const nodes = ['node-1', 'node-2', 'node-20', 'other'];

describe('an id that somebody types', () => {
  it('is the one that equals it, else the one that begins with it', () => {
    expect(resolvePrefix('node', 'node-2', nodes)).toBe('node-2'); // though node-20 begins with it, too
    expect(resolvePrefix('node', 'o', nodes)).toBe('other');
    expect(resolvePrefix('node', 'node-20', nodes)).toBe('node-20');
  });

  it.each([
    ['node', 'x', 'there is no node "x"', 'see: dmi nodes'],
    ['job', 'x', 'there is no job "x"', 'see: dmi jobs'],
    ['thread', '9.9', 'there is no thread "9.9"', 'see: dmi ps'],
    ['node', '', 'there is no node ""', 'see: dmi nodes'], // not all of them
  ])('is refused when there is no such %s: "%s"', (kind, wanted, message, hint) => {
    expect(() => resolvePrefix(kind, wanted, nodes)).toThrow(
      expect.objectContaining({ code: 'not-found', message, hint }) as Error,
    );
  });

  it('is refused when it could be several, of which some are named', () => {
    expect(() => resolvePrefix('node', 'node', nodes)).toThrow(
      expect.objectContaining({
        code: 'ambiguous',
        message: '"node" could be any of these nodes: node-1, node-2, node-20',
      }) as Error,
    );
    const many = Array.from({ length: 1000 }, (_, i) => `j${i}`);
    expect(() => resolvePrefix('job', 'j', many)).toThrow('"j" could be any of these jobs: j0, j1, j2, j3, …');
  });

  it('is short, of letters and digits that are not taken for others', () => {
    const bytes = new Uint8Array(16).map((_, i) => i * 17);
    expect(shortId(bytes, 16)).toMatch(/^[a-km-np-z2-9]{16}$/);
    expect(shortId(bytes)).toHaveLength(6);
  });
});
