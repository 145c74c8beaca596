import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type InputPiece, JobInput } from './input.js';

const HOST = { member: 1, thread: '1.1' };

function setUp(source: Readable) {
  const pieces: InputPiece[] = [];
  let opened = 0;
  const open = () => {
    opened++;
    return source;
  };
  const input = new JobInput(open, piece => pieces.push(piece));
  const text = (piece: InputPiece | undefined) => piece && Buffer.from(piece.data).toString();
  return {
    input,
    pieces,
    text,
    opened: () => opened,
    ask: (offset: number, member = 1) => input.ask({ ...HOST, member, offset }),
    /** Until there are so many answers. */
    answers: async (count: number) => {
      while (pieces.length < count) await new Promise(resolve => setImmediate(resolve));
    },
  };
}

describe("a job's input", () => {
  it('is not looked at before anybody asks, and read no further than asked for', async () => {
    let reads = 0;
    const source = new Readable({
      highWaterMark: 1,
      read() {
        reads++;
        this.push('x');
      },
    });
    const { ask, answers, opened } = setUp(source);
    expect(opened()).toBe(0);
    ask(0);
    await answers(1);
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(opened()).toBe(1);
    const before = reads;
    expect(before).toBeLessThan(4);
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(reads).toBe(before);
  });

  it('comes as soon as there is some, for whoever asked last', async () => {
    const source = new PassThrough();
    const { ask, answers, pieces, text } = setUp(source);
    ask(0);
    ask(0, 2); // it has moved, and waits there
    source.write('a line\n');
    await answers(1);
    source.write('another\n');
    expect(pieces).toMatchObject([{ member: 2, thread: '1.1', offset: 0, end: false }]);
    expect(text(pieces[0])).toBe('a line\n');
    ask(7, 2);
    await answers(2);
    expect(text(pieces[1])).toBe('another\n');
  });

  it('is given again until what comes after it is asked for, and then never', async () => {
    const source = new PassThrough();
    const { ask, answers, pieces, text } = setUp(source);
    source.write('abc');
    ask(0);
    await answers(1);
    ask(0);
    ask(1, 2);
    await answers(3);
    expect(pieces.map(text)).toEqual(['abc', 'abc', 'bc']);
    ask(0); // was under way for long
    ask(99); // nobody can have got there
    source.write('def');
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(pieces).toHaveLength(3);
    ask(3);
    await answers(4);
    expect(text(pieces[3])).toBe('def');
  });

  it('is told once more when the last answer may have been lost', async () => {
    const { input, ask, answers, pieces, text } = setUp(new PassThrough().end('abc'));
    input.repeat();
    ask(0);
    await answers(1);
    input.repeat();
    expect(pieces.map(text)).toEqual(['abc', 'abc']);
  });

  it('comes in pieces of 64 KiB, its end with the last or after it, any number of times', async () => {
    const whole = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
    const { ask, answers, pieces } = setUp(new PassThrough({ highWaterMark: 1 << 20 }).end(whole));
    let offset = 0;
    for (let asked = 1; !pieces.at(-1)?.end; asked++) {
      ask(offset);
      await answers(asked);
      offset += pieces.at(-1)?.data.length ?? 0;
    }
    expect(Buffer.concat(pieces.map(({ data }) => data)).equals(whole)).toBe(true);
    expect(Math.max(...pieces.map(({ data }) => data.length))).toBe(64 << 10);
    const before = pieces.length;
    ask(offset);
    await answers(before + 1);
    expect(pieces.at(-1)).toMatchObject({ data: Buffer.alloc(0), end: true });
  });

  it.each<[string, () => Readable]>([
    [
      'cannot be opened',
      () => {
        throw new Error('no');
      },
    ],
    [
      'fails',
      () =>
        new Readable({
          read() {
            this.destroy(new Error('no'));
          },
        }),
    ],
    [
      'is closed',
      () => {
        const closed = new PassThrough();
        closed.destroy();
        return closed;
      },
    ],
  ])('has ended when its source %s', async (_why, open) => {
    const piece = await new Promise<InputPiece>(resolve => new JobInput(open, resolve).ask({ ...HOST, offset: 0 }));
    expect(piece).toMatchObject({ data: Buffer.alloc(0), end: true });
  });

  it('is let go of when the job is over, though somebody waits for it', async () => {
    const source = new PassThrough();
    const { input, ask, pieces } = setUp(source);
    ask(0);
    input.close();
    expect(source.destroyed).toBe(true);
    await new Promise(resolve => setImmediate(resolve));
    expect(pieces).toEqual([]);
  });
});
