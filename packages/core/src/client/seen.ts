type Seen = { thread: string; member: number; seq: number };

/** Which of a job's output has been taken: pieces that come again are known, and the coordinator is told now and then. Pure. */
export class SeenOutput {
  readonly #upTo = new Map<string, Seen>();
  #untold = new Set<Seen>();

  /** False: it came before. */
  take({ thread, member, seq }: Seen): boolean {
    if (seq === 0) return true;
    const key = `${member}/${thread}`;
    const known = this.#upTo.get(key);
    if (known && seq <= known.seq) return false;
    const now = known ?? { thread, member, seq };
    now.seq = seq;
    this.#upTo.set(key, now);
    this.#untold.add(now);
    return true;
  }

  /** What has been taken since the last call. */
  news(): Seen[] {
    const news = [...this.#untold];
    this.#untold = new Set();
    return news;
  }
}
