import { describe, expect, it } from 'vitest';
import { type Output, OutputOrder } from '../src/server/output.js';

const print = (thread: string, text: string) => ({ t: 'output', thread, stream: 1, data: Buffer.from(text) }) as const;
const arrived = (thread: string) => ({ t: 'arrived', thread, move: null, bytes: 0 }) as const;
const moved = (thread: string) =>
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
  }) as const;
const texts = (pieces: Output[]) => pieces.map(({ data }) => Buffer.from(data).toString());

describe('OutputOrder', () => {
  it('holds what a thread printed at its new host until its old host has said everything', () => {
    const order = new OutputOrder();
    expect(texts(order.accept(0, print('0.1', 'one')))).toEqual(['one']);
    expect(order.accept(1, arrived('0.1'))).toEqual([]);
    expect(order.accept(1, print('0.1', 'three'))).toEqual([]);
    expect(order.held).toBe(5);
    expect(texts(order.accept(0, print('0.1', 'two')))).toEqual(['two']);
    expect(texts(order.accept(0, moved('0.1')))).toEqual(['three']);
    expect(texts(order.accept(1, print('0.1', 'four')))).toEqual(['four']);
    expect(order.held).toBe(0);
  });

  it('keeps order over two moves that are both ahead', () => {
    const order = new OutputOrder();
    order.accept(0, print('0.1', 'a'));
    order.accept(2, arrived('0.1'));
    order.accept(2, print('0.1', 'c'));
    // The first move's news from member 1 is late; member 2 was told of first, so its text waits for the end.
    expect(texts(order.flush())).toEqual(['c']);
  });

  it('passes the new host on at once when the old one was faster', () => {
    const order = new OutputOrder();
    order.accept(0, print('0.1', 'a'));
    expect(order.accept(0, moved('0.1'))).toEqual([]);
    expect(order.accept(1, arrived('0.1'))).toEqual([]);
    expect(texts(order.accept(1, print('0.1', 'b')))).toEqual(['b']);
  });
});
