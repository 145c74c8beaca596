import * as v from 'valibot';
import { asDmiError, DmiError } from '../errors.js';
import type { EtcdClient } from './etcd-client.js';
import { created, put, remove, txnAnswer } from './etcd-messages.js';
import type { Term } from './store.js';

export interface EtcdTermOptions {
  client: EtcdClient;
  prefix: string;
  /** The leader's key, and the revision at which this term made it. */
  key: string;
  revision: string;
  cluster: string;
  lease: string;
  leaseSeconds: number;
  /** When the lease was asked for, ms of performance.now(). */
  grantedAt: number;
  records: ReadonlyMap<string, unknown>;
}

/** Of its lease a leader counts only this part, by its own clock: it must be over here before it is over there. */
const SURE = 0.95;
/** Changes in one transaction; etcd's own limit is 128. */
const BATCH = 64;

const kept = v.object({ result: v.object({ TTL: v.optional(v.string(), '0') }) });

/** One coordinator's time as leader: renews the lease, writes what has changed, and knows when it is over. */
export class EtcdTerm implements Term {
  readonly cluster: string;
  readonly number: number;
  readonly records: ReadonlyMap<string, unknown>;
  readonly lost: Promise<DmiError>;
  #lose: (why: DmiError) => void = () => {};
  #until: number;
  #over = false;
  /** The last problem with etcd, for when the lease ends by it. */
  #problem: DmiError | null = null;
  /** What has changed and is not written yet, in order; of one key the newest. */
  readonly #changes = new Map<string, unknown>();
  #writing: Promise<void> | null = null;
  #timer: NodeJS.Timeout;

  constructor(private readonly options: EtcdTermOptions) {
    this.cluster = options.cluster;
    this.number = Number(options.revision);
    this.records = options.records;
    this.#until = options.grantedAt + this.#sureMs;
    this.lost = new Promise(resolve => {
      this.#lose = resolve;
    });
    this.#timer = this.#beatIn(this.#beatMs);
  }

  get held(): boolean {
    if (!this.#over && performance.now() >= this.#until) this.#expired();
    return !this.#over;
  }

  put(key: string, value: unknown): void {
    this.#changes.delete(key); // to the end
    this.#changes.set(key, value);
    void this.#write();
  }

  async flushed(): Promise<void> {
    while (this.#writing !== null && this.held) await this.#writing;
  }

  async resign(): Promise<void> {
    if (this.#over) return;
    await Promise.race([this.flushed(), new Promise(resolve => setTimeout(resolve, this.#beatMs))]);
    this.#end();
    const { client, lease } = this.options;
    await client.call('lease/revoke', { ID: lease }, v.object({}), this.#beatMs).catch(() => {});
    client.close();
  }

  get #sureMs(): number {
    return this.options.leaseSeconds * 1000 * SURE;
  }

  get #beatMs(): number {
    return (this.options.leaseSeconds * 1000) / 4;
  }

  #beatIn(ms: number): NodeJS.Timeout {
    const left = Math.max(0, this.#until - performance.now());
    return setTimeout(() => void this.#beat(), Math.min(ms, left)).unref();
  }

  /** Renews the lease, and looks whether the leader's key is still ours. */
  async #beat(): Promise<void> {
    if (!this.held) return;
    const { client, lease } = this.options;
    const sent = performance.now();
    try {
      const patience = Math.min(this.#beatMs, Math.max(1, this.#until - sent));
      const { result } = await client.call('lease/keepalive', { ID: lease }, kept, patience);
      if (this.#over) return;
      if (Number(result.TTL) <= 0) return this.#deposed('etcd has ended the lease');
      this.#until = sent + this.#sureMs;
      await this.#guarded([]);
      this.#problem = null;
      void this.#write();
    } catch (thrown) {
      this.#problem = asDmiError(thrown);
    }
    if (!this.#over) this.#timer = this.#beatIn(this.#problem === null ? this.#beatMs : this.#beatMs / 4);
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#changes.size > 0 && this.held) {
      const batch = [...this.#changes].slice(0, BATCH);
      const { prefix } = this.options;
      try {
        await this.#guarded(
          batch.map(([key, value]) => {
            const full = `${prefix}/records/${key}`;
            return value === null ? remove(full) : put(full, value);
          }),
        );
      } catch (thrown) {
        this.#problem = asDmiError(thrown);
        return; // again after the next beat that gets through
      }
      // What has been changed again meanwhile is written again.
      for (const [key, value] of batch) if (this.#changes.get(key) === value) this.#changes.delete(key);
    }
  }

  /** Changes that count only if this term is not over by then. */
  async #guarded(changes: object[]): Promise<void> {
    const { client, key, revision } = this.options;
    const body = { compare: [created(key, revision)], success: changes, failure: [] };
    const { succeeded } = await client.call('kv/txn', body, txnAnswer, this.#beatMs);
    if (!succeeded && !this.#over) this.#deposed('another coordinator leads, or the leader’s key was removed');
  }

  #expired(): void {
    const { client, leaseSeconds } = this.options;
    const why = this.#problem === null ? 'this process stood still meanwhile' : this.#problem.message;
    this.#deposed(`the lease of ${leaseSeconds} s could not be renewed with ${client.name}: ${why}`);
  }

  #deposed(why: string): void {
    if (this.#over) return;
    this.#end();
    this.#lose(new DmiError('store', why, { hint: this.#problem?.hint ?? 'see: docs/standby.md' }));
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}
