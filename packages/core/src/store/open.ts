import type { TlsFiles } from '../wire/tls.js';
import { EtcdStore, parseEtcd } from './etcd-store.js';
import { MemoryStore } from './memory.js';
import type { Store } from './store.js';

export interface StoreOptions {
  /** For etcd: how long a leader that does not say anything leads, s. */
  leaseSeconds: number;
  tls?: TlsFiles;
  user?: { name: string; password: string } | null;
}

/** The store that `memory` or `etcd://host:port/prefix` names. @throws DmiError `usage` */
export function openStore(where: string, options: StoreOptions): Store {
  return where === 'memory' ? new MemoryStore() : new EtcdStore({ ...parseEtcd(where), ...options });
}
