import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificate } from './certificates.js';

/** Is Debian's etcd-server there? scripts/setup installs it. */
export const ETCD = spawnSync('etcd', ['--version'], { stdio: 'ignore' }).status === 0;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

export interface EtcdTls {
  server: Certificate;
  ca: Certificate;
}

/** An etcd of one member on loopback, with a directory of its own, that can be stopped and started again. */
export class Etcd {
  readonly #dir = mkdtempSync(join(tmpdir(), 'dmi-etcd-'));
  #process: ChildProcess | null = null;
  #log = '';

  private constructor(
    private readonly port: number,
    private readonly peerPort: number,
    private readonly healthPort: number,
    private readonly tls: EtcdTls | null,
  ) {}

  /** @param tls clients then connect with `etcds`, and show a certificate of the CA */
  static async start(tls: EtcdTls | null = null): Promise<Etcd> {
    const etcd = new Etcd(await freePort(), await freePort(), await freePort(), tls);
    await etcd.start();
    return etcd;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const { tls } = this;
    const urls = {
      client: `http${tls ? 's' : ''}://${this.host}`,
      peer: `http://127.0.0.1:${this.peerPort}`,
      health: `http://127.0.0.1:${this.healthPort}`,
    };
    const secure = tls
      ? [
          ['--cert-file', tls.server.cert],
          ['--key-file', tls.server.key],
          ['--trusted-ca-file', tls.ca.cert],
          ['--client-cert-auth'],
        ]
      : [];
    const child = spawn(
      'etcd',
      [
        ['--data-dir', this.#dir],
        ['--listen-client-urls', urls.client],
        ['--advertise-client-urls', urls.client],
        ['--listen-peer-urls', urls.peer],
        ['--initial-advertise-peer-urls', urls.peer],
        ['--initial-cluster', `default=${urls.peer}`],
        ['--listen-metrics-urls', urls.health],
        ...secure,
      ].flat(),
      // Written for this test alone: it need not survive the machine.
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ETCD_UNSAFE_NO_FSYNC: 'true' } },
    );
    this.#process = child;
    child.stderr?.setEncoding('utf8').on('data', text => {
      this.#log = (this.#log + text).slice(-10_000);
    });
    let ended = false;
    child.once('close', () => {
      ended = true;
    });
    for (let tries = 200; tries > 0; tries--) {
      const answer = await fetch(`${urls.health}/health`).catch(() => null);
      if (answer?.ok) return;
      if (ended) throw new Error(`etcd has ended: ${this.#log}`);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    throw new Error(`etcd is not ready: ${this.#log}`);
  }

  /** Ends the process at once; what it has written stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** What is written under a prefix, by key without it. */
  async read(prefix: string): Promise<Record<string, unknown>> {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const body = { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) };
    const answer = await this.#post('kv/range', body);
    const { kvs = [] } = answer as { kvs?: { key: string; value: string }[] };
    const text = (data: string) => Buffer.from(data, 'base64').toString();
    return Object.fromEntries(
      kvs.map(({ key, value }) => [text(key).slice(prefix.length + 1), JSON.parse(text(value))]),
    );
  }

  /** Removes a key, as an administrator might. */
  async delete(key: string): Promise<void> {
    await this.#post('kv/deleterange', { key: Buffer.from(key).toString('base64') });
  }

  /** From now on every request needs a user; this one may do everything. */
  async enableAuth(name: string, password: string): Promise<void> {
    await this.#post('auth/role/add', { name: 'root' });
    await this.#post('auth/user/add', { name, password });
    await this.#post('auth/user/grant', { user: name, role: 'root' });
    await this.#post('auth/enable', {});
  }

  async disableAuth(name: string, password: string): Promise<void> {
    const { token } = (await this.#post('auth/authenticate', { name, password })) as { token: string };
    await this.#post('auth/disable', {}, { authorization: token });
  }

  async #post(path: string, body: object, headers: Record<string, string> = {}): Promise<unknown> {
    const url = `http://${this.host}/v3/${path}`;
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
}
