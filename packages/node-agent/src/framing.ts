import { DmiError, encode, MAX_HOST_FRAME } from '@dmi/core';

/** A message as it travels to a host: a 32-bit little-endian length, then MessagePack. */
export function frame(message: object): Buffer {
  const body = encode(message);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #parts: Buffer[] = [];
  #size = 0;

  /**
   * @returns the bodies of all frames that are complete now
   * @throws DmiError `malformed` for a frame longer than MAX_HOST_FRAME
   */
  push(bytes: Buffer): Buffer[] {
    this.#parts.push(bytes);
    this.#size += bytes.length;
    const bodies: Buffer[] = [];
    while (this.#size >= 4) {
      const first = this.#first(4);
      const length = first.readUInt32LE(0);
      if (length > MAX_HOST_FRAME)
        throw new DmiError('malformed', `a frame of ${length} bytes (at most ${MAX_HOST_FRAME} are allowed)`);
      if (this.#size < 4 + length) break;
      const whole = this.#first(4 + length);
      bodies.push(whole.subarray(4, 4 + length));
      this.#parts =
        whole.length > 4 + length ? [whole.subarray(4 + length), ...this.#parts.slice(1)] : this.#parts.slice(1);
      this.#size -= 4 + length;
    }
    return bodies;
  }

  /** Makes the first part at least `n` bytes long (which have arrived) and gives it. */
  #first(n: number): Buffer {
    let first = this.#parts[0] as Buffer;
    if (first.length < n) {
      let count = 0;
      let size = 0;
      while (size < n) size += (this.#parts[count++] as Buffer).length;
      first = Buffer.concat(this.#parts.slice(0, count));
      this.#parts = [first, ...this.#parts.slice(count)];
    }
    return first;
  }
}
