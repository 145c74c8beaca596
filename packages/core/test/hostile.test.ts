import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  Client,
  Coordinator,
  type CoordinatorOptions,
  connect,
  decode,
  encode,
  MAX_HANDSHAKE_MESSAGE,
  VERSION,
  WIRE_VERSION,
} from '../src/index.js';

// Peers that have not proved themselves, and what they may do to a coordinator: not much, and others are served meanwhile.

let coordinator: Coordinator;
let logged: string[];
let waiting: (() => void)[] = [];
const open: { terminate?: () => void; destroy?: () => void }[] = [];
const images = mkdtempSync(join(tmpdir(), 'dmi-hostile-'));

async function start(options: Partial<CoordinatorOptions> = {}): Promise<void> {
  logged = [];
  const write = (line: string) => {
    logged.push(JSON.parse(line).msg);
    for (const wake of waiting.splice(0)) wake();
  };
  const log = pino({ level: 'info' }, { write });
  coordinator = await Coordinator.start({ listen: '127.0.0.1:0', token: 'secret', imageDir: images, log, ...options });
}
afterEach(async () => {
  for (const one of open.splice(0)) one.terminate?.() ?? one.destroy?.();
  await coordinator.close();
  waiting = [];
  rmSync(images, { recursive: true, force: true });
});

/** Resolves when a line that was logged fits. */
async function said(part: string): Promise<string> {
  for (;;) {
    const line = logged.find(one => one.includes(part));
    if (line !== undefined) return line;
    await new Promise<void>(resolve => waiting.push(resolve));
  }
}

/** A TCP connection that says nothing; `closed` resolves when the coordinator has ended it. */
async function silent(): Promise<{ socket: Socket; closed: Promise<void> }> {
  const { hostname, port } = new URL(coordinator.address);
  const socket = connectTcp(Number(port), hostname);
  open.push(socket);
  socket.on('error', () => {}).resume();
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  await new Promise<void>(resolve => socket.once('connect', resolve));
  return { socket, closed };
}

interface Ended {
  answers: { t: string; [member: string]: unknown }[];
  code: number;
  reason: string;
}

/** A peer that says what it likes. */
function raw(send: (socket: WebSocket, answers: Ended['answers']) => void): Promise<Ended> {
  const socket = new WebSocket(coordinator.address);
  open.push(socket);
  const answers: Ended['answers'] = [];
  return new Promise(resolve => {
    socket.on('error', () => {});
    socket.on('open', () => send(socket, answers));
    socket.on('message', data => {
      answers.push(decode(data as Buffer) as Ended['answers'][number]);
      send(socket, answers);
    });
    socket.on('close', (code, reason) => resolve({ answers, code, reason: reason.toString() }));
  });
}

const hello = (over: object = {}) =>
  encode({
    t: 'hello',
    magic: 'DMI',
    wire: WIRE_VERSION,
    version: VERSION,
    role: 'agent',
    nonce: Buffer.alloc(32),
    ...over,
  });

/** An attempt with a proof of its own making. */
const attempt = (mac: Uint8Array) =>
  raw((socket, answers) => socket.send([hello(), encode({ t: 'proof', mac })][answers.length] ?? Buffer.alloc(0)));

const login = (token = 'secret') => Client.connect({ address: coordinator.address, token });

describe('before the proof', () => {
  it('a message beyond 16 KiB ends the connection; after it, one of a megabyte is read', async () => {
    await start();
    const { code, answers } = await raw(socket => socket.send(hello({ padding: Buffer.alloc(MAX_HANDSHAKE_MESSAGE) })));
    expect([code, answers]).toEqual([1009, []]);
    await said('refused a connection: Max payload size exceeded');
    const client = await login();
    const hash = '30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58'; // 1 MiB of zeros
    await client.call('upload', { hash, offset: 0, total: 1 << 20, data: Buffer.alloc(1 << 20) });
    expect(await client.call('missing', { hashes: [hash] })).toEqual([]);
    await client.close();
  });

  it('a large message is refused by its announced length, and in pieces, before it has been sent', async () => {
    await start();
    // The header of a masked binary frame of 8 MiB, and nothing of it.
    const announced = raw(socket => {
      const header = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x80, 0, 0, 1, 2, 3, 4]);
      (socket as unknown as { _socket: Socket })._socket.write(header);
    });
    expect((await announced).code).toBe(1009);
    const pieces = raw(socket => {
      for (let i = 0; i < 5; i++) socket.send(Buffer.alloc(4_096), { fin: false });
    });
    expect((await pieces).code).toBe(1009);
  });

  it('a compressed message is not taken, and compression is never agreed to', async () => {
    await start();
    const socket = new WebSocket(coordinator.address, { perMessageDeflate: true });
    open.push(socket);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    expect(socket.extensions).toBe('');
    // 64 MiB of zeros in 64 KiB, in pieces with the bit that says "compressed".
    const bomb = deflateRawSync(Buffer.alloc(64 << 20)).subarray(0, 120);
    const { code } = await raw(peer => {
      const header = Buffer.from([0xc2, 0x80 | bomb.length, 0, 0, 0, 0]);
      (peer as unknown as { _socket: Socket })._socket.write(Buffer.concat([header, bomb]));
    });
    expect(code).toBe(1002);
    await said('Invalid WebSocket frame: RSV1 must be clear');
  });

  it('connections that say nothing are ended: without a request, without an end of it, without a hello, without a proof', async () => {
    await start({ limits: { handshakeMs: 1_000 } });
    const nothing = await silent();
    const half = await silent();
    half.socket.write('GET / HTTP/1.1\r\nHost: dmi\r\nUpgrade: webs');
    const mute = raw(() => {});
    const hesitant = raw((socket, answers) => answers.length === 0 && socket.send(hello()));
    await Promise.all([nothing.closed, half.closed]);
    expect((await mute).reason).toBe('no handshake within 1 s');
    expect((await hesitant).answers.map(({ t }) => t)).toEqual(['challenge', 'refused']);
    await said('closed a connection: no handshake within 1 s');
    await said('refused a connection: no handshake within 1 s');
    // They had no part in the failures that make an address wait.
    await (await login()).close();
  });

  it('many connections of one address are refused, and their places are free again when they are gone', async () => {
    await start({ limits: { openPerAddress: 20 } });
    const first = [];
    for (let i = 0; i < 20; i++) first.push(await silent());
    const more = await Promise.all(Array.from({ length: 200 }, silent));
    await Promise.all(more.map(({ closed }) => closed));
    expect(first.every(({ socket }) => !socket.destroyed)).toBe(true);
    await expect(login()).rejects.toMatchObject({ code: 'unreachable' });
    for (const { socket } of first) socket.destroy();
    await Promise.all(first.map(({ closed }) => closed));
    // The coordinator hears of it in its own time.
    const again = async (): Promise<Client> => login().catch(again);
    await (await again()).close();
    expect(await said('have not proved themselves yet')).toContain('20 connections from 127.0.0.1');
    expect(logged.filter(line => line.includes('have not proved themselves yet'))).toHaveLength(1);
  });

  it('those who have proved themselves do not count', async () => {
    await start({ limits: { openPerAddress: 1, open: 1 } });
    const clients = [await login(), await login(), await login()];
    for (const client of clients) expect(await client.nodes()).toEqual([]);
    for (const client of clients) await client.close();
  });
});

describe('a token', () => {
  it('cannot be guessed: after ten failures the address waits, and is told so; who is in stays in', async () => {
    await start({ limits: { forgiveMs: 600_000 } });
    const client = await login();
    for (let i = 0; i < 10; i++) expect((await attempt(randomBytes(32))).reason).toContain('the token is wrong');
    await expect(login()).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(/refuses to talk: too many failed attempts from your address; wait \d+ s$/),
      hint: expect.stringContaining('check the join token'),
    });
    expect(await client.nodes()).toEqual([]);
    await said('refused a connection: too many failed attempts from 127.0.0.1');
    await client.close();
  });

  it('cannot be guessed by many at once: connections that are open already count as well', async () => {
    await start({ limits: { failures: 3, forgiveMs: 600_000 } });
    // All of them have their challenge before the first of them answers it.
    let challenged = 0;
    const ready: (() => void)[] = [];
    const ends = await Promise.all(
      Array.from({ length: 12 }, () =>
        raw((socket, answers) => {
          if (answers.length === 0) socket.send(hello());
          if (answers.length !== 1) return;
          ready.push(() => socket.send(encode({ t: 'proof', mac: randomBytes(32) })));
          if (++challenged === 12) for (const go of ready) go();
        }),
      ),
    );
    const codes = ends.map(({ answers }) => answers.at(-1)?.code);
    expect(codes.filter(code => code === 'auth')).toHaveLength(3);
    expect(codes.filter(code => code === 'busy')).toHaveLength(9);
  });

  it('makes an address wait only as long as it takes to forget a failure', async () => {
    await start({ limits: { failures: 1, forgiveMs: 50 } });
    expect((await attempt(randomBytes(32))).answers.at(-1)?.code).toBe('auth');
    const again = async (): Promise<Client> =>
      login().catch(error => {
        expect(error.code).toBe('busy');
        return again();
      });
    await (await again()).close();
  });

  it('cannot be replaced by a handshake that was seen before', async () => {
    await start();
    // Between an honest client and the coordinator: what both say is recorded.
    const recorded: Buffer[] = [];
    const { WebSocketServer } = await import('ws');
    const relay = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    relay.on('connection', victim => {
      const onward = new WebSocket(coordinator.address);
      open.push(onward);
      const early: Buffer[] = [];
      victim.on('message', (data: Buffer) => {
        recorded.push(data);
        if (onward.readyState === onward.OPEN) onward.send(data);
        else early.push(data);
      });
      onward.on('open', () => {
        for (const data of early) onward.send(data);
      });
      onward.on('message', data => victim.send(data));
    });
    await new Promise(resolve => relay.once('listening', resolve));
    const { port } = relay.address() as { port: number };
    const { peer } = await connect({
      address: `ws://127.0.0.1:${port}`,
      role: 'client',
      token: 'secret',
      onBad: () => {},
    });
    peer.socket.terminate();
    await new Promise(resolve => relay.close(resolve));
    expect(recorded.map(message => (decode(message) as { t: string }).t)).toEqual(['hello', 'proof']);
    const { answers } = await raw((socket, { length }) => recorded[length] && socket.send(recorded[length]));
    expect(answers.map(({ t, code }) => [t, code])).toEqual([
      ['challenge', undefined],
      ['refused', 'auth'],
    ]);
  });

  it('is not got from the coordinator by sending its own proof back', async () => {
    await start();
    const { answers } = await raw((socket, seen) => {
      if (seen.length === 0) socket.send(hello());
      if (seen.length === 1) socket.send(encode({ t: 'proof', mac: seen[0]?.mac }));
    });
    expect(answers.at(-1)).toMatchObject({ t: 'refused', code: 'auth' });
  });
});
