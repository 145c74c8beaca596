import { DmiError, type ImageStore, type ImageWriter } from '@dmi/core';

const PATIENCE_MS = 20_000;

interface Fetch {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
  writer: ImageWriter | null;
  /** Pieces are written one after the other. */
  queue: Promise<void>;
  timer: NodeJS.Timeout | null;
  offset: number;
}

/** Gets the files of program images that this machine lacks from the coordinator, piece by piece, each once. */
export class ImageFetcher {
  readonly #fetches = new Map<string, Fetch>();

  constructor(
    readonly store: ImageStore,
    private readonly ask: (hash: string, offset: number) => void,
  ) {}

  /** Resolves when all are here. @throws DmiError `image` */
  async fetch(hashes: Iterable<string>): Promise<void> {
    await Promise.all(
      [...new Set(hashes)].map(async hash => {
        if (!(await this.store.has(hash))) await this.#get(hash);
      }),
    );
  }

  /** A piece has come. */
  piece(hash: string, offset: number, total: number, data: Uint8Array): void {
    const fetch = this.#fetches.get(hash);
    if (!fetch) return;
    fetch.queue = fetch.queue
      .then(async () => {
        if (offset !== fetch.offset) return; // asked twice, over a reconnect
        fetch.writer ??= await this.store.create(hash, total);
        if (total > 0 && data.length === 0)
          throw new DmiError('image', `image ${hash.slice(0, 12)}: an empty piece at ${offset}`);
        await fetch.writer.write(offset, data);
        fetch.offset += data.length;
        if (fetch.offset < total) return this.#request(hash, fetch);
        await fetch.writer.finish();
        this.#end(hash, fetch);
        fetch.resolve();
      })
      .catch(error => this.#failed(hash, fetch, error));
  }

  missing(hash: string, reason: string): void {
    const fetch = this.#fetches.get(hash);
    if (fetch) this.#failed(hash, fetch, new DmiError('image', `image ${hash.slice(0, 12)}: ${reason}`));
  }

  /** The connection is back: what was asked for over the old one is asked for again. */
  reconnected(): void {
    for (const [hash, fetch] of this.#fetches) this.#request(hash, fetch);
  }

  #get(hash: string): Promise<void> {
    const running = this.#fetches.get(hash);
    if (running) return running.promise;
    const { promise, resolve, reject } = deferred();
    const fetch: Fetch = { promise, resolve, reject, writer: null, queue: Promise.resolve(), timer: null, offset: 0 };
    this.#fetches.set(hash, fetch);
    this.#request(hash, fetch);
    return promise;
  }

  #request(hash: string, fetch: Fetch): void {
    if (fetch.timer) clearTimeout(fetch.timer);
    fetch.timer = setTimeout(() => {
      this.#failed(
        hash,
        fetch,
        new DmiError('image', `image ${hash.slice(0, 12)} did not come within ${PATIENCE_MS / 1000} s`),
      );
    }, PATIENCE_MS);
    this.ask(hash, fetch.offset);
  }

  #end(hash: string, fetch: Fetch): void {
    if (fetch.timer) clearTimeout(fetch.timer);
    this.#fetches.delete(hash);
  }

  #failed(hash: string, fetch: Fetch, error: Error): void {
    if (this.#fetches.get(hash) !== fetch) return;
    this.#end(hash, fetch);
    void fetch.writer?.abort();
    fetch.reject(error);
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
