import type { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { fromAgent } from '../src/wire/agent-messages.js';
import { fromClient } from '../src/wire/client-messages.js';
import { check, decode, encode } from '../src/wire/codec.js';
import { proofMac, sameMac } from '../src/wire/handshake.js';
import { fromHost } from '../src/wire/host-messages.js';
import { Link } from '../src/wire/link.js';
import { CLOSE, Peer } from '../src/wire/peer.js';

describe('codec', () => {
  it('sends integers beyond 32 bits as integers', () => {
    expect(encode({ pool: 2 ** 33 }).toString('hex')).toBe(
      `81${'a4706f6f6c'}d30000000200000000`.replace('81', 'de0001'),
    );
    for (const n of [0, -1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 40), 0.5])
      expect(decode(encode({ n }))).toEqual({ n });
  });

  it('names the message and the path of the first bad field', () => {
    const bad = {
      t: 'frame',
      s: 1,
      body: { t: 'from-host', job: 'j1', member: 0, message: { t: 'started', thread: 'x', by: null, movable: true } },
    };
    expect(() => check(fromAgent, bad, 'agent message')).toThrow(
      'agent message "frame": body.message.thread: not a thread id',
    );
    expect(() => check(fromHost, { t: 'nonsense' }, 'host message')).toThrow(/host message "nonsense": t: /);
    expect(() => check(fromClient, 7, 'request')).toThrow(/request: /);
  });

  it('refuses what is not MessagePack, and survives any bytes', () => {
    expect(() => decode(Buffer.from([0x92, 0x01]))).toThrow(/not a MessagePack message/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        try {
          check(fromAgent, decode(bytes), 'agent message');
        } catch (error) {
          expect(error).toMatchObject({ name: 'DmiError', code: 'malformed' });
        }
      }),
    );
  });

  it('refuses paths in the place of a hash', () => {
    expect(() => check(fromAgent, { t: 'need', hash: '../../etc/passwd', offset: 0 }, 'agent message')).toThrow(
      'agent message "need": hash: not a SHA-256',
    );
  });
});

describe('proof', () => {
  it('differs by token, side, role and nonce', () => {
    const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const macs = [
      proofMac('token', 'peer', 'agent', a, b),
      proofMac('other', 'peer', 'agent', a, b),
      proofMac('token', 'coordinator', 'agent', a, b),
      proofMac('token', 'peer', 'client', a, b),
      proofMac('token', 'peer', 'agent', b, a),
    ];
    expect(new Set(macs.map(mac => mac.toString('hex'))).size).toBe(5);
    expect(sameMac(macs[0] as Buffer, proofMac('token', 'peer', 'agent', a, b))).toBe(true);
    expect(sameMac(macs[0] as Buffer, Buffer.alloc(0))).toBe(false);
  });
});

describe('Link', () => {
  it('delivers everything once and in order over any number of breaks', () => {
    // Each element: messages sent, how many of the frames in flight arrive before the line breaks, how many acks arrive.
    const rounds = fc.array(fc.tuple(fc.nat(5), fc.nat(8), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(rounds, list => {
        const a = new Link<number, never>();
        const b = new Link<never, number>();
        const got: number[] = [];
        let sent = 0;
        for (const [messages, arrive, ack] of [...list, [1, 1_000, true] as const]) {
          for (let i = 0; i < messages; i++) a.send(sent++);
          // The line is new: whatever is not acknowledged is sent again, and a part of it arrives.
          for (const frame of [...a.replayAfter(b.received)].slice(0, arrive)) {
            const body = b.receive(frame);
            if (body !== null) got.push(body);
          }
          if (ack) a.acknowledged(b.received);
        }
        expect(got).toEqual(Array.from({ length: sent }, (_, i) => i));
      }),
    );
  });

  it('refuses a gap and an acknowledgement of what was never sent', () => {
    const link = new Link<number, number>();
    expect(() => link.receive({ t: 'frame', s: 2, body: 0 })).toThrow('frame: s: got number 2 after 0');
    expect(() => link.acknowledged(1)).toThrow('beat: ack: 1 was never sent (last is 0)');
  });
});

describe('what is sent in one go', () => {
  it('goes out in one write, whole and in order, also when the connection is closed behind it', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    const came: unknown[] = [];
    const closed = new Promise<string>(resolve => {
      server.on('connection', socket => {
        socket.on('message', data => came.push(decode(data as Buffer)));
        socket.on('close', (_code, reason) => resolve(reason.toString()));
      });
    });
    await new Promise(resolve => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const peer = new Peer<object>(socket, error => {
      throw error;
    });
    const upgraded = new Promise<Duplex>(resolve => socket.once('upgrade', response => resolve(response.socket)));
    const opened = new Promise(resolve => socket.once('open', resolve));
    const carrier = await upgraded;
    peer.carrier = carrier;
    await opened;
    let writes = 0;
    const writev = carrier._writev?.bind(carrier);
    carrier._writev = (...args) => {
      writes++;
      writev?.(...args);
    };
    for (let i = 0; i < 100; i++) peer.send({ i });
    expect([writes, carrier.writableCorked]).toEqual([0, 1]);
    peer.close(CLOSE.bye, 'done');
    expect(await closed).toBe('done');
    expect(came).toEqual(Array.from({ length: 100 }, (_, i) => ({ i })));
    expect([writes, carrier.writableCorked]).toEqual([1, 0]);
    server.close();
  });
});
