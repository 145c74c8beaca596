import { describe, expect, it } from 'vitest';
import { ImageRelay, type PieceAnswer } from '../src/server/image-relay.js';

const data = new Uint8Array([1, 2, 3]);

function relay(...agents: string[]) {
  const here = new Set(agents);
  const asked: string[] = [];
  const answers: [string, PieceAnswer][] = [];
  const images = new ImageRelay(
    () => here,
    (agent, hash, offset) => asked.push(`${agent} ${hash} ${offset}`),
  );
  const want = (by: string, hash: string, offset: number) =>
    images.want(by, hash, offset, answer => answers.push([by, answer]));
  return { images, here, asked, answers, want };
}

describe('an image that the coordinator does not have', () => {
  it('comes from the first agent that has it, which is asked first from then on', () => {
    const { images, asked, answers, want } = relay('a', 'b', 'c', 'd');
    want('a', 'x', 0);
    images.missing('b', 'x');
    images.piece('c', 'x', 0, 6, data);
    want('a', 'x', 3);
    images.piece('c', 'x', 3, 6, data);
    expect(asked).toEqual(['b x 0', 'c x 0', 'c x 3']);
    expect(answers).toEqual([
      ['a', { total: 6, data }],
      ['a', { total: 6, data }],
    ]);
  });

  it('is asked for once when several need it', () => {
    const { images, asked, answers, want } = relay('a', 'b', 'c');
    want('a', 'x', 0);
    want('c', 'x', 0);
    images.piece('b', 'x', 0, 3, data);
    expect(asked).toEqual(['b x 0']);
    expect(answers.map(([by]) => by)).toEqual(['a', 'c']);
  });

  it('is asked for elsewhere when an agent goes in the middle of it', () => {
    const { images, here, asked, answers, want } = relay('a', 'b', 'c', 'd');
    want('a', 'x', 0);
    here.delete('b');
    here.delete('c');
    images.gone('b');
    images.piece('d', 'x', 0, 3, data);
    expect(asked).toEqual(['b x 0', 'd x 0']);
    expect(answers).toEqual([['a', { total: 3, data }]]);
  });

  it('is not to be had when nobody has it, or nobody else is there', () => {
    const { images, answers, want } = relay('a', 'b');
    want('a', 'x', 0);
    images.missing('b', 'x');
    expect(answers).toEqual([['a', null]]);
    const alone = relay('a');
    alone.want('a', 'x', 0);
    expect(alone.answers).toEqual([['a', null]]);
  });

  it('is taken only from whom it was asked of', () => {
    const { images, answers, want } = relay('a', 'b', 'c');
    images.piece('c', 'x', 0, 3, data);
    want('a', 'x', 0);
    images.piece('c', 'x', 0, 3, data);
    images.piece('b', 'x', 9, 3, data);
    images.missing('c', 'x');
    expect(answers).toEqual([]);
    images.piece('b', 'x', 0, 3, data);
    expect(answers).toEqual([['a', { total: 3, data }]]);
  });
});
