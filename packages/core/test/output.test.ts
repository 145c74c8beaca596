import { describe, expect, it } from 'vitest';
import { SeenOutput } from '../src/client/seen.js';
import { type Output, OutputOrder } from '../src/server/output.js';
import { orderReplay } from '../src/server/replay.js';

const print = (thread: string, text: string) => ({ t: 'output', thread, stream: 1, data: Buffer.from(text) }) as const;
const arrived = (thread: string, moves: number) => ({ t: 'arrived', thread, move: null, bytes: 0, moves }) as const;
const moved = (thread: string, moves: number) =>
  ({
    t: 'moved',
    move: 'm1',
    thread,
    to: null,
    ok: true,
    code: 'ok',
    reason: '',
    bytes: 0,
    seconds: 0,
    pauseSeconds: 0,
    moves,
  }) as const;
const texts = (pieces: Output[]) => pieces.map(({ data }) => Buffer.from(data).toString());

describe('OutputOrder', () => {
  it('holds what a thread printed at its new host until its old host has said everything', () => {
    const order = new OutputOrder();
    expect(texts(order.accept(0, print('0.1', 'one')))).toEqual(['one']);
    expect(order.accept(1, arrived('0.1', 1))).toEqual([]);
    expect(order.accept(1, print('0.1', 'three'))).toEqual([]);
    expect(order.held).toBe(5);
    expect(texts(order.accept(0, print('0.1', 'two')))).toEqual(['two']);
    expect(texts(order.accept(0, moved('0.1', 1)))).toEqual(['three']);
    expect(texts(order.accept(1, print('0.1', 'four')))).toEqual(['four']);
    expect(order.held).toBe(0);
  });

  it('keeps order over two moves whose news comes the wrong way round', () => {
    const order = new OutputOrder();
    order.accept(0, print('0.1', 'a'));
    order.accept(2, arrived('0.1', 2));
    expect(order.accept(2, print('0.1', 'c'))).toEqual([]);
    order.accept(1, arrived('0.1', 1));
    expect(order.accept(1, print('0.1', 'b'))).toEqual([]);
    expect(order.accept(1, moved('0.1', 2))).toEqual([]);
    expect(texts(order.accept(0, moved('0.1', 1)))).toEqual(['b', 'c']);
    expect(texts(order.accept(2, print('0.1', 'd')))).toEqual(['d']);
    const exited = { t: 'exited', thread: '0.1', status: 0, result: null, main: true, moves: 2 } as const;
    expect(order.accept(2, exited)).toEqual([]);
    expect(order.flush()).toEqual([]);
  });

  it('shows what waits when the job ends before the news it waits for', () => {
    const order = new OutputOrder();
    order.accept(2, arrived('0.1', 2));
    order.accept(2, print('0.1', 'c'));
    order.accept(1, arrived('0.1', 1));
    order.accept(1, print('0.1', 'b'));
    expect(texts(order.flush())).toEqual(['b', 'c']);
    expect(order.held).toBe(0);
  });

  it('passes the new host on at once when the old one was faster', () => {
    const order = new OutputOrder();
    order.accept(0, print('0.1', 'a'));
    expect(order.accept(0, moved('0.1', 1))).toEqual([]);
    expect(order.accept(1, arrived('0.1', 1))).toEqual([]);
    expect(texts(order.accept(1, print('0.1', 'b')))).toEqual(['b']);
  });
});

describe('what members tell again', () => {
  it('is put in the order of the moves, whichever member is heard first', () => {
    const items = [
      { member: 2, seq: 1, message: arrived('0.1', 2) },
      { member: 2, seq: 2, message: print('0.1', 'c') },
      { member: 0, seq: 7, message: print('0.1', 'a') },
      { member: 0, seq: 8, message: moved('0.1', 1) },
      { member: 0, seq: 9, message: print('0.2', 'x') },
      { member: 1, seq: 1, message: arrived('0.1', 1) },
      { member: 1, seq: 2, message: print('0.1', 'b') },
    ];
    const { output, known } = orderReplay(items, new Map([['0.1', { member: 2, moves: 2 }]]));
    const first = output.filter(({ thread }) => thread === '0.1');
    expect(texts(first)).toEqual(['a', 'b', 'c']);
    expect(first.map(({ member, seq }) => [member, seq])).toEqual([
      [0, 7],
      [1, 2],
      [2, 2],
    ]);
    // Member 1 has not said that the thread has gone: more of it may come, and goes before what member 2 says.
    const order = new OutputOrder(known);
    expect(order.accept(2, print('0.1', 'e'))).toEqual([]);
    expect(texts(order.accept(1, print('0.1', 'd')))).toEqual(['d']);
    expect(texts(order.accept(1, moved('0.1', 2)))).toEqual(['e']);
    expect(texts(order.accept(2, print('0.1', 'f')))).toEqual(['f']);
  });

  it('is shown by a client once', () => {
    const seen = new SeenOutput();
    const piece = { thread: '0.1', member: 3, seq: 5 };
    expect([seen.take(piece), seen.take(piece), seen.take({ ...piece, seq: 6 })]).toEqual([true, false, true]);
    expect(seen.news()).toEqual([{ ...piece, seq: 6 }]);
    expect(seen.news()).toEqual([]);
  });
});
