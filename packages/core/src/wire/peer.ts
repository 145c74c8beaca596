import type { Duplex } from 'node:stream';
import type { GenericSchema, InferOutput } from 'valibot';
import type { RawData, WebSocket } from 'ws';
import { asDmiError, type DmiError } from '../errors.js';
import { check, decode, encode } from './codec.js';

/** Close codes of our own (RFC 6455 leaves 4000–4999 to applications). */
export const CLOSE = { malformed: 4000, refused: 4001, replaced: 4002, bye: 4003, silent: 4004 } as const;

/**
 * One end of a WebSocket that carries our messages: encodes what is sent, decodes and checks what arrives. A message that
 * does not fit closes the connection with the reason, which names the field; it never throws into the caller.
 */
export class Peer<Out extends object> {
  #receive: ((bytes: Buffer) => void) | null = null;
  #held: Buffer[] = [];
  #carrier: Duplex | null = null;
  #corked = false;
  /** When the last message arrived, ms of performance.now(). */
  lastHeard = performance.now();

  constructor(
    readonly socket: WebSocket,
    private readonly onBad: (error: DmiError) => void,
  ) {
    socket.on('message', (data: RawData, isBinary: boolean) => {
      this.lastHeard = performance.now();
      if (!isBinary) return this.bad(asDmiError(new Error('a text message where binary ones are spoken')));
      const bytes = Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? Buffer.from(data) : data;
      if (this.#receive) this.#receive(bytes);
      else this.#held.push(bytes);
    });
    // Oversized or broken frames end here; `close` follows.
    socket.on('error', error => this.onBad(asDmiError(error)));
  }

  /** Bytes that are not with the kernel yet. */
  get backlog(): number {
    return this.socket.bufferedAmount;
  }

  get open(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  /** What the WebSocket runs over, once it is known: then all that is sent in one go goes out in one write. */
  set carrier(stream: Duplex) {
    this.#carrier = stream;
  }

  send(message: Out): void {
    if (this.open) this.sendEncoded(encode(message));
  }

  /** A message that has been through `encode`. */
  sendEncoded(message: Uint8Array): void {
    if (!this.open) return;
    this.#cork();
    this.socket.send(message);
  }

  // A write to a socket costs many times what it costs to make a message, and news comes by the hundred.
  #cork(): void {
    const carrier = this.#carrier;
    if (!carrier || this.#corked) return;
    this.#corked = true;
    carrier.cork();
    process.nextTick(() => {
      this.#corked = false;
      carrier.uncork();
    });
  }

  /** From now on (messages that waited included) every message goes to `handler`. Errors it throws close the connection. */
  receive<S extends GenericSchema>(schema: S, what: string, handler: (message: InferOutput<S>) => void): void {
    this.#receive = bytes => {
      if (!this.open) return;
      try {
        handler(check(schema, decode(bytes), what));
      } catch (error) {
        this.bad(asDmiError(error));
      }
    };
    const held = this.#held;
    this.#held = [];
    for (const bytes of held) this.#receive(bytes);
  }

  close(code: number, reason: string): void {
    this.socket.close(code, clip(reason));
    // The other side may be stopped or hostile: do not wait for its answer for ever.
    setTimeout(() => this.socket.terminate(), 2_000).unref();
  }

  private bad(error: DmiError): void {
    this.onBad(error);
    this.close(CLOSE.malformed, error.message);
  }
}

/** A close reason has at most 123 bytes of UTF-8. */
function clip(reason: string): string {
  let text = reason.slice(0, 123);
  while (Buffer.byteLength(text) > 123) text = text.slice(0, -1);
  return text;
}
