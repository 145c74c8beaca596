import { decode, MAX_HOST_FRAME } from '@dmi/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, frame } from '../src/framing.js';

describe('FrameReader', () => {
  it('gives back every message, however the stream was cut', () => {
    const messages = fc.array(fc.record({ t: fc.string({ maxLength: 10 }), data: fc.uint8Array({ maxLength: 300 }) }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (sent, cuts) => {
        const stream = Buffer.concat(sent.map(frame));
        const reader = new FrameReader();
        const got: unknown[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length] as number;
          for (const body of reader.push(stream.subarray(at, at + size))) got.push(decode(body));
          at += size;
        }
        expect(got.map(message => (message as { t: string }).t)).toEqual(sent.map(({ t }) => t));
        for (const [i, message] of got.entries()) {
          expect(
            Buffer.from((message as { data: Uint8Array }).data).equals(
              Buffer.from((sent[i] as { data: Uint8Array }).data),
            ),
          ).toBe(true);
        }
      }),
    );
  });

  it('refuses a frame that says it is longer than allowed, before it has come', () => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(MAX_HOST_FRAME + 1);
    expect(() => new FrameReader().push(head)).toThrow(/a frame of 16777217 bytes/);
  });
});
