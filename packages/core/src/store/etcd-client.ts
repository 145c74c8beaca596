import { type ClientRequest, Agent as HttpAgent, request as http, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as https } from 'node:https';
import * as v from 'valibot';
import { DmiError } from '../errors.js';
import { readTls, type TlsFiles } from '../wire/tls.js';

export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`, of one etcd cluster. */
  endpoints: readonly string[];
  /** For `https`: `ca` instead of the CAs that Node.js trusts; `cert` and `key` if etcd asks for them. */
  tls?: TlsFiles;
  /** If etcd's authentication is enabled. */
  user?: { name: string; password: string } | null;
}

/** Largest answer that is read, bytes: etcd refuses larger requests, and we ask for little. */
const MAX_ANSWER = 64 << 20;

const KEEP_ALIVE_MS = 5_000;

/** gRPC's codes, as the gateway answers them. */
const UNAUTHENTICATED = 16;

const failure = v.object({ error: v.string(), code: v.optional(v.number(), 0) });
const authenticated = v.object({ token: v.string() });

/** etcd's v3 interface through its JSON gateway: one POST per request, and a line of JSON per message of a stream. */
export class EtcdClient {
  readonly #agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };
  readonly #material: ReturnType<typeof readTls>;
  readonly #endpoints: readonly string[];
  #at = 0;
  #token: string | null = null;

  constructor(private readonly options: EtcdOptions) {
    this.#material = readTls(options.tls ?? {});
    this.#endpoints = options.endpoints;
  }

  get name(): string {
    return `etcd at ${this.#endpoints.join(', ')}`;
  }

  /** One answer. An endpoint that is not reached is tried last from then on. @throws DmiError `unreachable`, `timeout`, `store` */
  async call<S extends v.GenericSchema>(
    path: string,
    body: object,
    answer: S,
    timeoutMs: number,
  ): Promise<v.InferOutput<S>> {
    const end = performance.now() + timeoutMs;
    for (let again = this.#endpoints.length - 1; ; again--) {
      try {
        return await this.#call(path, body, answer, Math.max(1, (end - performance.now()) / (again + 1)));
      } catch (error) {
        if (!(error instanceof DmiError) || error.code === 'store' || again <= 0) throw error;
      }
    }
  }

  /** Calls `onMessage` for each message until it returns true, or the stream ends. @throws DmiError */
  async stream(path: string, body: object, onMessage: (message: unknown) => boolean, signal: AbortSignal) {
    await this.#authenticate(signal);
    const response = await this.#send(path, body, signal);
    // Nothing may come for days: a machine that has vanished is noticed by the kernel.
    response.socket.setKeepAlive(true, KEEP_ALIVE_MS);
    let text = '';
    try {
      for await (const piece of response.setEncoding('utf8')) {
        text += piece;
        if (text.length > MAX_ANSWER) throw this.#wrong(path, 'too long an answer');
        for (let line = text.indexOf('\n'); line >= 0; line = text.indexOf('\n')) {
          if (onMessage(this.#parse(path, text.slice(0, line)))) return;
          text = text.slice(line + 1);
        }
      }
    } catch (error) {
      this.#token = null;
      throw this.#unreachable(error as Error);
    } finally {
      response.destroy();
    }
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #call<S extends v.GenericSchema>(path: string, body: object, answer: S, timeoutMs: number) {
    const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
    for (let again = true; ; again = false) {
      await this.#authenticate(signal);
      const value = await this.#text(path, body, signal);
      const refused = v.safeParse(failure, value);
      if (!refused.success) {
        const checked = v.safeParse(answer, value);
        if (checked.success) return checked.output;
        throw this.#wrong(path, `${checked.issues[0].message} at ${v.getDotPath(checked.issues[0]) ?? 'the top'}`);
      }
      // Its tokens are forgotten after some minutes, and when it is restarted.
      const stale = refused.output.code === UNAUTHENTICATED && this.#token !== null;
      this.#token = null;
      if (!stale || !again) throw this.#refused(refused.output.error);
    }
  }

  async #authenticate(signal: AbortSignal): Promise<void> {
    const { user } = this.options;
    if (!user || this.#token !== null) return;
    const value = await this.#text('auth/authenticate', { name: user.name, password: user.password }, signal);
    const checked = v.safeParse(authenticated, value);
    if (!checked.success) {
      const refused = v.safeParse(failure, value);
      throw this.#refused(refused.success ? refused.output.error : 'it gives no token');
    }
    this.#token = checked.output.token;
  }

  async #text(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    const response = await this.#send(path, body, signal);
    let text = '';
    try {
      for await (const piece of response.setEncoding('utf8')) {
        text += piece;
        if (text.length > MAX_ANSWER) throw this.#wrong(path, 'too long an answer');
      }
    } catch (error) {
      throw this.#unreachable(error as Error);
    }
    return this.#parse(path, text);
  }

  #send(path: string, body: object, signal: AbortSignal): Promise<IncomingMessage> {
    const endpoint = this.#endpoints[this.#at % this.#endpoints.length] ?? '';
    const data = JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(data),
      ...(this.#token === null ? {} : { authorization: this.#token }),
    };
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        this.#at++;
        reject(this.#unreachable(error, endpoint));
      };
      try {
        const secure = endpoint.startsWith('https:');
        const options = { method: 'POST', headers, signal, agent: secure ? this.#agents.https : this.#agents.http };
        const url = `${endpoint}/v3/${path}`;
        const sent: ClientRequest = secure ? https(url, { ...this.#material, ...options }) : http(url, options);
        sent.on('error', fail);
        sent.on('response', resolve);
        sent.end(data);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  #parse(path: string, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.#wrong(path, `"${text.slice(0, 80).trim()}"`);
    }
  }

  #wrong(path: string, what: string): DmiError {
    return new DmiError('store', `${this.name} does not answer as etcd does (v3/${path}: ${what})`, {
      object: this.name,
      hint: 'etcd 3.4 or newer is needed, at the address for clients (usually port 2379)',
    });
  }

  #refused(why: string): DmiError {
    const hint = /space/.test(why)
      ? 'make room: etcdctl compact, etcdctl defrag, etcdctl alarm disarm'
      : /auth|user|permission/.test(why)
        ? 'give a user that may read and write there: --store-user NAME, and its password in DMI_STORE_PASSWORD'
        : 'see the log of etcd';
    return new DmiError('store', `${this.name} refuses: ${why}`, { object: this.name, hint });
  }

  #unreachable(error: Error, endpoint = this.#endpoints.join(', ')): DmiError {
    if (error instanceof DmiError) return error;
    const { code } = error as NodeJS.ErrnoException;
    const late = error.name === 'TimeoutError' || error.name === 'AbortError' || code === 'ABORT_ERR';
    const why = late ? 'no answer' : code === 'ECONNREFUSED' ? 'nothing listens there' : error.message;
    return new DmiError(late ? 'timeout' : 'unreachable', `cannot reach etcd at ${endpoint}: ${why}`, {
      object: endpoint,
      hint: endpoint.startsWith('https:')
        ? 'is it running, and are --store-ca, --store-cert and --store-key right?'
        : 'is it running? etcdctl endpoint health --endpoints=…',
      cause: error,
    });
  }
}
