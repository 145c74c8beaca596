import { randomBytes } from 'node:crypto';
import type { DmiError } from '../errors.js';
import { shortId } from '../ids.js';
import type { Store, Term } from './store.js';

/** The embedded store: one coordinator, which is alone and leaves nothing. A restarted one learns from the agents. */
export class MemoryStore implements Store {
  async lead(): Promise<Term> {
    return {
      cluster: shortId(randomBytes(8), 8),
      number: 0,
      records: new Map(),
      held: true,
      lost: new Promise<DmiError>(() => {}),
      put: () => {},
      flushed: async () => {},
      resign: async () => {},
    };
  }
}
