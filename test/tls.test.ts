import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Client, Coordinator, type CoordinatorOptions, type TlsFiles } from '@dmi/core';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Certificates } from './cluster/certificates.js';
import { Guests } from './cluster/guests.js';
import { Processes } from './cluster/processes.js';

// TLS on the control plane, with certificates made for the test.

const certificates = new Certificates();
const ca = certificates.ca('our-ca');
const otherCa = certificates.ca('other-ca');
const server = certificates.signed('coordinator', ca, 'IP:127.0.0.1,DNS:localhost');
const elsewhere = certificates.signed('elsewhere', ca, 'DNS:elsewhere.example');
const node = certificates.signed('node', ca, 'DNS:node.example');
const stranger = certificates.signed('stranger', otherCa, 'DNS:node.example');
const guests = new Guests();
let cluster: Processes | null = null;
let coordinator: Coordinator | null = null;
afterEach(async () => {
  await cluster?.stop();
  await coordinator?.close();
  cluster = coordinator = null;
});
afterAll(() => {
  certificates.remove();
  guests.remove();
});

async function start(tls: CoordinatorOptions['tls']): Promise<string> {
  coordinator = await Coordinator.start({
    listen: '127.0.0.1:0',
    token: 'secret',
    imageDir: certificates.dir,
    ...(tls ? { tls } : {}),
  });
  return coordinator.address;
}

const login = (address: string, tls: TlsFiles) => Client.connect({ address, token: 'secret', tls });

describe('a cluster of processes', () => {
  it('runs a job over wss, with certificates on both sides; agents and clients without one are refused', async () => {
    const hello = guests.build('examples/hello/hello');
    // As a user sets it up: the files by environment variables, for all but the coordinator.
    cluster = Processes.none({
      DMI_TLS_CA: ca.cert,
      DMI_TLS_CERT: node.cert,
      DMI_TLS_KEY: node.key,
      DMI_TOKEN: 'secret',
    });
    await cluster.coordinate(
      '127.0.0.1:0',
      ...['--tls-cert', server.cert, '--tls-key', server.key, '--tls-ca', ca.cert, '--tls-client-auth'],
    );
    expect(cluster.address).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/);
    await Promise.all([cluster.join('n1'), cluster.join('n2')]);
    const { stdout, status } = cluster.dmi('run', '-n', '4', hello);
    expect(stdout).toContain('sum of squares: 14');
    expect(status).toBe(0);
    // By flags, which count more than the environment.
    const flags = ['--tls-cert', stranger.cert, '--tls-key', stranger.key];
    const refused = `dmi: the coordinator at ${cluster.address} refuses to talk: the certificate "CN=stranger" is not signed by a CA that is trusted here\n`;
    expect(cluster.dmi('nodes', ...flags)).toMatchObject({ status: 1, stderr: expect.stringContaining(refused) });
    await expect(cluster.join('n3', ...flags)).rejects.toThrow(refused);
    expect(cluster.json<unknown[]>('nodes')).toHaveLength(2);
  });

  it('says in one line which file is wrong, and how', () => {
    cluster = Processes.none();
    const empty = join(certificates.dir, 'empty.pem');
    writeFileSync(empty, '');
    const cases: [string[], string][] = [
      [['--tls-cert', server.cert], `${server.cert} alone is no use: a certificate and its private key go together`],
      [['--tls-cert', '/nowhere', '--tls-key', server.key], 'cannot read the certificate /nowhere: '],
      [['--tls-cert', empty, '--tls-key', server.key], `${empty} has no certificate in PEM`],
      [['--tls-cert', server.cert, '--tls-key', server.cert], `${server.cert} has no private key in PEM`],
      [
        ['--tls-cert', server.cert, '--tls-key', node.key],
        `the private key in ${node.key} is not that of the certificate in ${server.cert}`,
      ],
      [['--tls-client-auth', '--tls-cert', server.cert, '--tls-key', server.key], 'no CA is named that'],
      [['--tls-ca', ca.cert], 'a coordinator that uses TLS needs a certificate and its private key'],
    ];
    for (const [flags, line] of cases) {
      const { stderr, status, stdout } = cluster.dmi('coordinator', '--listen', '127.0.0.1:0', ...flags);
      expect(stderr).toContain(`dmi: ${line}`);
      expect([status, stdout]).toEqual([2, '']);
    }
    const { stderr, status } = cluster.dmi('nodes', '--address', 'ws://127.0.0.1:9', '--tls-ca', ca.cert);
    expect(stderr).toContain('dmi: certificates were given, but ws://127.0.0.1:9 is not encrypted');
    expect(status).toBe(2);
  });
});

describe('a client', () => {
  it('connects by address and by name when the CA is right, and to nobody whose certificate is not', async () => {
    const address = await start(server);
    const byName = address.replace('127.0.0.1', 'localhost').replace('wss://', '');
    for (const one of [address, byName]) {
      const client = await login(one, { ca: ca.cert });
      expect(await client.nodes()).toEqual([]);
      await client.close();
    }
    for (const tls of [{ ca: otherCa.cert }, {}]) {
      await expect(login(address, tls)).rejects.toMatchObject({
        code: 'tls',
        message: `the certificate of the coordinator at ${address} is not signed by a CA that is trusted here`,
        hint: expect.stringContaining('--tls-ca FILE'),
      });
    }
  });

  it('does not take the certificate of another host', async () => {
    const address = await start(elsewhere);
    await expect(login(address, { ca: ca.cert })).rejects.toMatchObject({
      code: 'tls',
      message: expect.stringContaining(`the certificate of the coordinator at ${address} is not for "127.0.0.1"`),
    });
  });

  it('is told when one side speaks TLS and the other does not', async () => {
    const address = await start(server);
    const { host } = new URL(address);
    await expect(login(`ws://${host}`, {})).rejects.toMatchObject({
      code: 'unreachable',
      message: `cannot reach the coordinator at ws://${host}: it closed the connection without an answer`,
      hint: expect.stringContaining(`if it was started with --tls-cert, write wss://${host}, with --tls-ca FILE`),
    });
    await coordinator?.close();
    const plain = new URL(await start(null)).host;
    await expect(login(`wss://${plain}`, { ca: ca.cert })).rejects.toMatchObject({
      code: 'tls',
      message: expect.stringContaining(`what listens at ${plain} does not speak TLS 1.3`),
      hint: expect.stringContaining(`write ws://${plain}`),
    });
  });
});

describe('with --tls-client-auth', () => {
  const mutual = { ...server, ca: ca.cert, clientAuth: true };

  it('a certificate of the CA is let in, and the token is still asked for', async () => {
    const address = await start(mutual);
    const client = await login(address, { ca: ca.cert, ...node });
    expect(await client.nodes()).toEqual([]);
    await client.close();
    await expect(Client.connect({ address, token: 'guess', tls: { ca: ca.cert, ...node } })).rejects.toMatchObject({
      code: 'auth',
    });
  });

  it('none, and one of another CA, are refused with the reason', async () => {
    const address = await start(mutual);
    await expect(login(address, { ca: ca.cert })).rejects.toMatchObject({
      code: 'tls',
      message: `the coordinator at ${address} refuses to talk: it asks for a certificate, and none was shown`,
      hint: expect.stringContaining('--tls-cert FILE --tls-key FILE'),
    });
    await expect(login(address, { ca: ca.cert, ...stranger })).rejects.toMatchObject({
      code: 'tls',
      message: expect.stringContaining('the certificate "CN=stranger" is not signed by a CA that is trusted here'),
    });
  });

  it('a session that is resumed does not stand for a certificate', async () => {
    const { hostname: host, port } = new URL(await start(mutual));
    /** Asks for a WebSocket; resolves with the status line and the session that could be resumed. */
    const ask = (session: Buffer | null): Promise<{ status: string; session: Buffer | null; reused: boolean }> =>
      new Promise((resolve, reject) => {
        let latest: Buffer | null = null;
        let status = '';
        let reused = false;
        const options = { host, port: Number(port), rejectUnauthorized: false, ...(session ? { session } : {}) };
        const socket: TLSSocket = connectTls(options, () => {
          reused = socket.isSessionReused();
          const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13';
          socket.write(`GET / HTTP/1.1\r\nHost: dmi\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n\r\n`);
        });
        socket.on('session', one => {
          latest = one;
        });
        socket.on('data', data => {
          status ||= data.toString().split('\r\n')[0] ?? '';
          socket.end();
        });
        socket.on('error', reject);
        socket.on('close', () => resolve({ status, session: latest, reused }));
      });
    const first = await ask(null);
    expect(first.status).toBe('HTTP/1.1 403 Forbidden');
    expect(first.session).not.toBeNull();
    const second = await ask(first.session);
    expect([second.status, second.reused]).toEqual(['HTTP/1.1 403 Forbidden', false]);
  });
});
