import { DmiError } from '../errors.js';

/** A numbered message. */
export interface Frame<Body> {
  t: 'frame';
  s: number;
  body: Body;
}

/**
 * Exactly-once, in-order delivery over a connection that may break and come back: every message gets a number, is kept
 * until the other side has acknowledged it, and is sent again after a reconnect. Pure: the caller owns the socket.
 *
 * Invariant: `unacked` holds the frames acked+1 … next-1, in order.
 */
export class Link<Out, In> {
  #next = 1;
  #received = 0;
  #unacked: Frame<Out>[] = [];

  /** Number of the last message received; acknowledges everything up to it. */
  get received(): number {
    return this.#received;
  }

  /** Number of the last message sent. */
  get sent(): number {
    return this.#next - 1;
  }

  /** Messages sent after number `s` that the other side has not acknowledged. */
  after(s: number): Out[] {
    return this.#unacked.filter(frame => frame.s > s).map(frame => frame.body);
  }

  /** Messages that the other side has not acknowledged. */
  get pending(): number {
    return this.#unacked.length;
  }

  send(body: Out): Frame<Out> {
    const frame: Frame<Out> = { t: 'frame', s: this.#next++, body };
    this.#unacked.push(frame);
    return frame;
  }

  /**
   * @returns the message, or null when it had been received before
   * @throws DmiError `malformed` when messages are missing in between
   */
  receive(frame: Frame<In>): In | null {
    if (frame.s <= this.#received) return null;
    if (frame.s !== this.#received + 1) {
      throw new DmiError('malformed', `frame: s: got number ${frame.s} after ${this.#received}`);
    }
    this.#received = frame.s;
    return frame.body;
  }

  /** The other side has everything up to `s`. */
  acknowledged(s: number): void {
    if (s >= this.#next) throw new DmiError('malformed', `beat: ack: ${s} was never sent (last is ${this.#next - 1})`);
    const first = this.#unacked[0];
    if (first && s >= first.s) this.#unacked.splice(0, s - first.s + 1);
  }

  /** What must be sent again after a reconnect to a side that has everything up to `s`. */
  replayAfter(s: number): readonly Frame<Out>[] {
    this.acknowledged(s);
    return this.#unacked;
  }
}
