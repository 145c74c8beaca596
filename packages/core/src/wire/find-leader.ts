import { asDmiError, DmiError } from '../errors.js';
import { type Connected, type ConnectOptions, connect, parseAddress } from './connect.js';

/** The latest term of each cluster that this process has heard of: an earlier leader is none any more, whatever it thinks. */
export type Terms = Map<string, number>;

export interface FindOptions extends Omit<ConnectOptions, 'address' | 'signal'> {
  /** Of all coordinators that may lead, separated by commas. */
  addresses: string;
  terms: Terms;
}

/** One that has not answered by then is not waited for: the next is tried beside it, ms. */
const IMPATIENT_MS = 1_000;

/** @throws DmiError `usage` */
export function parseAddresses(addresses: string): string[] {
  const list = addresses.split(',').map(address => address.trim());
  for (const address of list) parseAddress(address);
  return [...new Set(list)];
}

/**
 * Connects to the one of several coordinators that leads. One that stands by says who that is, which is tried next, even if it
 * is not in the list.
 * @throws DmiError like `connect`; `standby` if none leads, but one is there that may soon
 */
export async function findLeader(options: FindOptions): Promise<Connected & { address: string }> {
  const { addresses, terms, ...rest } = options;
  const queue = parseAddresses(addresses);
  const tried = new Set<string>();
  const errors: DmiError[] = [];
  const done = new AbortController();
  return new Promise((resolve, reject) => {
    let open = 0;
    let patience: NodeJS.Timeout | undefined;
    const next = () => {
      clearTimeout(patience);
      if (done.signal.aborted) return;
      const address = queue.shift();
      if (address === undefined) {
        if (open === 0) reject(ofMany(errors, tried.size));
        return;
      }
      if (tried.has(address)) return next();
      tried.add(address);
      open++;
      if (queue.length > 0) patience = setTimeout(next, IMPATIENT_MS);
      connect({ ...rest, address, signal: done.signal })
        .then(connected => {
          if (done.signal.aborted) return connected.peer.socket.terminate();
          deny(connected, address, terms);
          done.abort();
          clearTimeout(patience);
          resolve({ ...connected, address });
        })
        .catch(thrown => {
          const error = asDmiError(thrown);
          errors.push(error);
          open--;
          // While another one keeps us waiting (it may stand still), a standby may come to lead.
          if (error.code === 'standby' && open > 0) setTimeout(() => again(address), IMPATIENT_MS);
          if (error.code === 'standby' && error.object && mayFollow(address, error.object)) queue.unshift(error.object);
          next();
        });
    };
    const again = (address: string) => {
      if (done.signal.aborted || open === 0) return;
      tried.delete(address);
      queue.push(address);
      next();
    };
    next();
  });
}

/** @throws DmiError `standby` for a leader of an earlier term */
function deny({ peer, cluster, term }: Connected, address: string, terms: Terms): void {
  const latest = terms.get(cluster) ?? 0;
  if (term < latest) {
    peer.socket.terminate();
    throw new DmiError(
      'standby',
      `the coordinator at ${address} led in term ${term}, but there has been term ${latest}`,
    );
  }
  if (term > 0) terms.set(cluster, term);
}

/** Where a connection is encrypted, what it names must be as well. */
function mayFollow(from: string, to: string): boolean {
  return /^wss?:\/\//.test(to) && (!from.startsWith('wss:') || to.startsWith('wss:'));
}

/** What to say when none was any use: what may pass counts more than what does not, as the one concerned may be back. */
function ofMany(errors: readonly DmiError[], tried: number): DmiError {
  const worth = (error: DmiError) => ['standby', 'busy', 'unreachable', 'timeout'].indexOf(error.code);
  const [first = new DmiError('usage', 'no coordinator is named'), ...others] = [...errors].sort((a, b) => {
    const [x, y] = [worth(a), worth(b)];
    return (x < 0 ? 9 : x) - (y < 0 ? 9 : y);
  });
  if (tried < 2 || others.length === 0) return first;
  const hint = first.hint === undefined ? {} : { hint: first.hint };
  return new DmiError(first.code, [...new Set([first, ...others].map(({ message }) => message))].join('; '), {
    ...hint,
    cause: first,
  });
}
