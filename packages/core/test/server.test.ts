import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Client, Coordinator, connect, decode, encode, MAX_MESSAGE, VERSION, WIRE_VERSION } from '../src/index.js';
import { proofMac } from '../src/wire/handshake.js';

let coordinator: Coordinator;
let logged: string[];
const images = mkdtempSync(join(tmpdir(), 'dmi-core-'));

async function start(token: string | null = null): Promise<void> {
  logged = [];
  const log = pino({ level: 'info' }, { write: line => void logged.push(JSON.parse(line).msg) });
  coordinator = await Coordinator.start({ listen: '127.0.0.1:0', token, imageDir: images, log });
}
beforeEach(() => start());
afterEach(async () => {
  await coordinator.close();
  rmSync(images, { recursive: true, force: true });
});

/** A peer that says what it likes: what it was answered, and how the connection ended. */
function raw(
  send: (socket: WebSocket, answered: number) => void,
  look: (answers: readonly unknown[]) => void = () => {},
): Promise<{ answers: unknown[]; code: number; reason: string }> {
  const socket = new WebSocket(coordinator.address);
  const answers: unknown[] = [];
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => send(socket, 0));
    socket.on('message', data => {
      answers.push(decode(data as Buffer));
      look(answers);
      send(socket, answers.length);
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

/** Completes the handshake as `role`, then sends `message`. */
const after = (role: string, message: Buffer | string) =>
  raw((socket, answered) =>
    socket.send([hello({ role }), encode({ t: 'proof', mac: null }), message][answered] ?? Buffer.alloc(0)),
  );

describe('a peer that cannot be talked to', () => {
  it('of another version is refused with both versions named, here and there', async () => {
    const { answers, reason } = await raw(socket => socket.send(hello({ version: '9.9.9', wire: 7 })));
    const line = 'version mismatch: the agent is dmi 9.9.9 (wire 7), the coordinator is dmi 0.1.0 (wire 1)';
    expect(answers).toEqual([
      { t: 'refused', code: 'version', reason: line, hint: 'install the same version of dmi on both machines' },
    ]);
    expect(reason).toBe(line);
    expect(logged).toContain(`refused a connection: ${line}`);
  });

  it('that requires a feature we lack is refused by its name', async () => {
    const { answers } = await raw(socket => socket.send(hello({ requires: ['telepathy'] })));
    expect(answers).toMatchObject([
      { t: 'refused', reason: 'the agent requires feature "telepathy", which this coordinator lacks' },
    ]);
  });

  it.each([
    ['text', 'hello', 'a text message where binary ones are spoken'],
    ['rubbish', Buffer.from([0x92, 1]), 'not a MessagePack message (2 bytes)'],
    ['an unknown message', encode({ t: 'nonsense' }), 'handshake "nonsense": t: '],
    ['a bad field', hello({ role: 'queen' }), 'handshake "hello": role: '],
    ['a message out of turn', encode({ t: 'proof', mac: null }), 'handshake: "proof" out of turn'],
  ])('because of %s is told so and closed', async (_what, message, line) => {
    const { reason, code } = await raw(socket => socket.send(message));
    expect(code).toBeGreaterThanOrEqual(4000);
    expect(reason).toContain(line);
    expect(logged.some(one => one.startsWith('refused a connection: ') && one.includes(line))).toBe(true);
  });

  it.each([
    ['agent', encode({ t: 'join', node: { name: '../x' } }), 'agent message "join": node.name: not a name'],
    ['agent', encode({ t: 'beat', ack: 0 }), 'agent message: "beat" before "join"'],
    [
      'client',
      encode({ t: 'request', request: 1, verb: 'submit', spec: { name: 'x', kind: 'both' }, output: true }),
      'request "request": spec.kind: ',
    ],
    ['client', encode({ t: 'request', request: 1, verb: 'spawn' }), 'request "request": verb: '],
    ['client', encode({ t: 'frame', s: 1, body: {} }), 'request "frame": '],
    ['client', encode({ t: 'join', node: {}, resume: null, hosts: [], outcomes: [] }), 'request "join": '],
    ['agent', encode({ t: 'request', request: 1, verb: 'kill', job: 'x' }), 'agent message "request": t: '],
    [
      'client',
      encode({
        t: 'request',
        request: 1,
        verb: 'upload',
        hash: '../../etc/passwd',
        offset: 0,
        total: 1,
        data: Buffer.alloc(1),
      }),
      'request "request": hash: not a SHA-256',
    ],
    [
      'agent',
      encode({ t: 'need', hash: `../${'0'.repeat(61)}`, offset: 0 }),
      'agent message "need": hash: not a SHA-256',
    ],
    ['client', Buffer.from('junk'), 'not a MessagePack message (4 bytes)'],
  ])('after the handshake, case %#: is told so and closed', async (role, message, line) => {
    const { reason } = await after(role, message);
    expect(reason).toContain(line.slice(0, 100));
    expect(logged.some(one => one.includes(line))).toBe(true);
  });

  it('with a message beyond the limit is cut off; others are still served', async () => {
    const client = await Client.connect({ address: coordinator.address, token: null });
    const { code } = await after('agent', Buffer.alloc(MAX_MESSAGE + 1));
    expect(code).toBe(1009);
    expect(await client.nodes()).toEqual([]);
    expect(logged.some(line => line.includes('Max payload size exceeded'))).toBe(true);
    await client.close();
  });
});

describe('a join token', () => {
  beforeEach(async () => {
    await coordinator.close();
    await start('secret');
  });

  it('lets in who knows it, and nobody else', async () => {
    const client = await Client.connect({ address: coordinator.address, token: 'secret' });
    expect(await client.nodes()).toEqual([]);
    await client.close();
    await expect(Client.connect({ address: coordinator.address, token: null })).rejects.toMatchObject({
      code: 'auth',
      message: 'this cluster asks for a join token, and no token was given',
    });
    await expect(Client.connect({ address: coordinator.address, token: 'guess' })).rejects.toMatchObject({
      code: 'auth',
      message: /does not know our token/,
    });
  });

  it('is for the role it was made for', async () => {
    const nonce = Buffer.alloc(32);
    let proof: object = {};
    const { reason } = await raw(
      (socket, answered) => {
        if (answered === 0) socket.send(hello({ role: 'agent', nonce }));
        else socket.send(encode(proof));
      },
      answers => {
        const challenge = answers[0] as { nonce: Uint8Array };
        proof = { t: 'proof', mac: proofMac('secret', 'peer', 'client', nonce, challenge.nonce) };
      },
    );
    expect(reason).toContain('the token is wrong');
  });

  it('is needed to listen where others can connect', async () => {
    await expect(Coordinator.start({ listen: '0.0.0.0:0' })).rejects.toMatchObject({
      code: 'usage',
      message: /needs a join token/,
    });
  });
});

describe('the coordinator', () => {
  it('says that its port is in use in one line', async () => {
    const listen = coordinator.address.slice('ws://'.length);
    await expect(Coordinator.start({ listen })).rejects.toMatchObject({
      code: 'port-in-use',
      message: `cannot listen on ${listen}: the port is in use`,
    });
  });

  it('takes a program image in pieces, checks its hash, and keeps nothing of a wrong one', async () => {
    const client = await Client.connect({ address: coordinator.address, token: null });
    const hash = 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9'; // "hello world"
    expect(await client.call('missing', { hashes: [hash] })).toEqual([hash]);
    await client.call('upload', { hash, offset: 0, total: 11, data: Buffer.from('hello ') });
    await expect(
      client.call('upload', { hash, offset: 6, total: 11, data: Buffer.from('earth') }),
    ).rejects.toMatchObject({ code: 'image', message: /has another hash/ });
    expect(await client.call('missing', { hashes: [hash] })).toEqual([hash]);
    await client.call('upload', { hash, offset: 0, total: 11, data: Buffer.from('hello ') });
    await expect(client.call('upload', { hash, offset: 3, total: 11, data: Buffer.from('lo') })).rejects.toMatchObject({
      code: 'image',
    });
    await client.call('upload', { hash, offset: 0, total: 11, data: Buffer.from('hello world') });
    expect(await client.call('missing', { hashes: [hash] })).toEqual([]);
    await client.close();
  });

  it('is told from something else that listens', async () => {
    await expect(
      connect({ address: 'ws://127.0.0.1:1', role: 'client', token: null, onBad: () => {} }),
    ).rejects.toMatchObject({
      code: 'unreachable',
      message: 'cannot reach the coordinator at ws://127.0.0.1:1: nothing listens there',
    });
  });
});
