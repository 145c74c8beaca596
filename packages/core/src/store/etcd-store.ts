import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { asDmiError, DmiError } from '../errors.js';
import { shortId } from '../ids.js';
import * as f from '../wire/fields.js';
import { EtcdClient, type EtcdOptions } from './etcd-client.js';
import { created, get, getAll, keyIn, type Op, put, range, txnAnswer, valueIn, watched } from './etcd-messages.js';
import { EtcdTerm } from './etcd-term.js';
import type { Candidate, Store, Term, Waiting } from './store.js';

export interface EtcdStoreOptions extends EtcdOptions {
  /** Begins every key: clusters of different prefixes do not meet. */
  prefix: string;
  /** How long a leader that does not say anything leads, s. */
  leaseSeconds: number;
}

const FIRST_WAIT = 100;
const MAX_WAIT = 1_000;

const granted = v.object({ ID: f.wide, TTL: v.optional(v.string()) });
const leaderRecord = v.object({ address: f.text });

/**
 * Coordinators of one prefix of an etcd cluster. The leader's key belongs to its lease; every write has as condition that the key is still
 * the one that this term began with, so one that was deposed can write nothing. The number of a term is etcd's revision at its beginning.
 */
export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  /** Leases of ours: a leader's key of such a one is left over from a term that was lost. */
  readonly #leases = new Set<string>();

  constructor(private readonly options: EtcdStoreOptions) {
    this.#client = new EtcdClient(options);
  }

  async lead(candidate: Candidate, waiting: (news: Waiting) => void, signal: AbortSignal): Promise<Term> {
    let leader: string | null = null;
    for (let wait = FIRST_WAIT; ; wait = Math.min(MAX_WAIT, wait * 2)) {
      try {
        const won = await this.#campaign(candidate);
        if (won instanceof EtcdTerm) {
          if (!signal.aborted) return won;
          await won.resign();
        }
        signal.throwIfAborted();
        if (!(won instanceof EtcdTerm)) {
          wait = FIRST_WAIT;
          leader = won.leader;
          waiting({ leader, problem: null });
          await this.#gone(won.revision, signal);
        }
      } catch (thrown) {
        if (signal.aborted) {
          this.#client.close();
          throw signal.reason;
        }
        waiting({ leader, problem: asDmiError(thrown) });
        await new Promise(resolve => setTimeout(resolve, wait));
      }
    }
  }

  get #timeoutMs(): number {
    return this.options.leaseSeconds * 1000;
  }

  async #campaign(candidate: Candidate): Promise<EtcdTerm | { leader: string | null; revision: string }> {
    const { prefix, leaseSeconds } = this.options;
    const client = this.#client;
    const key = `${prefix}/leader`;
    await this.#ours(key);
    const grantedAt = performance.now();
    const lease = await client.call('lease/grant', { TTL: `${leaseSeconds}` }, granted, this.#timeoutMs);
    this.#leases.add(lease.ID);
    const revoke = () => client.call('lease/revoke', { ID: lease.ID }, v.object({}), this.#timeoutMs);
    const fresh = shortId(randomBytes(8), 8);
    // The cluster's name is made by whoever comes first.
    await this.#txn([created(`${prefix}/cluster`, '0')], [put(`${prefix}/cluster`, fresh)], []);
    const answer = await this.#txn(
      [created(key, '0')],
      [
        put(key, { address: candidate.address }, lease.ID),
        get(key),
        get(`${prefix}/cluster`),
        getAll(`${prefix}/records/`),
      ],
      [get(key)],
    );
    const [, mine, cluster, records] = answer.responses;
    if (!answer.succeeded) {
      await revoke();
      this.#leases.delete(lease.ID);
      const there = range(answer.responses[0]);
      const checked = v.safeParse(leaderRecord, there[0] && valueIn(there[0]));
      return { leader: checked.success ? checked.output.address : null, revision: answer.header.revision };
    }
    const begun = range(mine)[0]?.create_revision ?? answer.header.revision;
    const name = range(cluster)[0];
    return new EtcdTerm({
      client,
      prefix,
      key,
      cluster: v.parse(f.id, name && valueIn(name)),
      revision: begun,
      lease: lease.ID,
      leaseSeconds: Number(lease.TTL ?? leaseSeconds),
      grantedAt,
      records: new Map(range(records).map(kv => [keyIn(kv).slice(`${prefix}/records/`.length), valueIn(kv)])),
    });
  }

  /** A key of a term that we have lost, because etcd was away, need not be waited for. */
  async #ours(key: string): Promise<void> {
    const { responses } = await this.#txn([], [get(key)], []);
    const lease = range(responses[0])[0]?.lease;
    if (lease === undefined || !this.#leases.has(lease)) return;
    await this.#client.call('lease/revoke', { ID: lease }, v.object({}), this.#timeoutMs);
    this.#leases.delete(lease);
  }

  #txn(compare: object[], success: Op[], otherwise: Op[]) {
    return this.#client.call('kv/txn', { compare, success, failure: otherwise }, txnAnswer, this.#timeoutMs);
  }

  /** Resolves when the leader's key is gone, after this revision. @throws DmiError */
  async #gone(after: string, signal: AbortSignal): Promise<void> {
    const { prefix } = this.options;
    const body = watched(`${prefix}/leader`, BigInt(after) + 1n);
    let gone = false;
    const heard = (message: unknown) => {
      const checked = v.safeParse(watchAnswer, message);
      if (!checked.success) throw new DmiError('store', `${this.#client.name} refuses to tell of changes`);
      const { canceled, events } = checked.output.result;
      gone = canceled || events.some(event => event.type === 'DELETE');
      return gone;
    };
    await this.#client.stream('watch', body, heard, signal);
    if (!gone) throw new DmiError('unreachable', `${this.#client.name} has closed the connection`);
  }
}

const watchAnswer = v.object({
  result: v.object({
    canceled: v.optional(v.boolean(), false),
    events: v.optional(v.array(v.object({ type: v.optional(v.string(), 'PUT') })), []),
  }),
});

/** Where `etcd://host:port,host:port/prefix` (or `etcds://`, with TLS) is. @throws DmiError `usage` */
export function parseEtcd(url: string): { endpoints: string[]; prefix: string } {
  const match = /^etcd(s?):\/\/([^/@?#]+)(\/[^?#]*)?$/.exec(url);
  const hosts = match?.[2]?.split(',') ?? [];
  const good = hosts.every(host => /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(:\d{1,5})?$/.test(host));
  if (!match || hosts.length === 0 || !good) {
    throw new DmiError('usage', `"${url}" is not a store`, {
      hint: 'write etcd://host:2379/prefix, or etcd://host1:2379,host2:2379/prefix; with TLS, etcds://…; or memory',
    });
  }
  const path = (match[3] ?? '').replace(/\/+$/, '');
  return {
    endpoints: hosts.map(host => `http${match[1]}://${/:\d+$/.test(host) ? host : `${host}:2379`}`),
    prefix: path === '' ? '/dmi' : path,
  };
}
