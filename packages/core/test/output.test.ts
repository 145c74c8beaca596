import { describe, expect, it } from 'vitest';
import { type Output, OutputOrder } from '../src/server/output.js';

const print = (thread: string, text: string) => ({ t: 'output', thread, stream: 1, data: Buffer.from(text) }) as const;
const arrived = (thread: string, moves: number) => ({ t: 'arrived', thread, move: null, bytes: 0, moves }) as const;
const moved = (thread: string, moves: number) =>
  ({
    t: 'moved',
    move: 'm1',
    thread,
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
