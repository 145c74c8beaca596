/** What an agent answers: a piece of an image, or null if it does not have it. */
export type PieceAnswer = { total: number; data: Uint8Array } | null;

interface Wish {
  hash: string;
  offset: number;
  /** Who has been asked, and who can be asked next. */
  source: string;
  rest: string[];
  waiting: ((answer: PieceAnswer) => void)[];
}

/** Images of which it is remembered who has them. */
const REMEMBERED = 1_000;

/**
 * Pieces of images that the coordinator does not have, from agents that do: for nodes that join a job which was submitted to an
 * earlier coordinator on another machine. Piece by piece, so that nothing is kept here and nobody waits for a whole image. Pure.
 *
 * Invariant: every wish has a source that is connected; whoever is asked answers, or is `gone`.
 */
export class ImageRelay {
  readonly #wishes = new Map<string, Wish>();
  readonly #known = new Map<string, string>();

  /**
   * @param agents who can be asked
   * @param ask asks one of them
   */
  constructor(
    private readonly agents: () => Iterable<string>,
    private readonly ask: (agent: string, hash: string, offset: number) => void,
  ) {}

  /** @param reply is called once, with null if nobody but `by` can be asked, or nobody has it */
  want(by: string, hash: string, offset: number, reply: (answer: PieceAnswer) => void): void {
    const key = `${hash}/${offset}`;
    const wish = this.#wishes.get(key);
    if (wish) {
      wish.waiting.push(reply);
      return;
    }
    const known = this.#known.get(hash);
    const others = [...this.agents()].filter(agent => agent !== by && agent !== known);
    const [source, ...rest] = known === undefined || known === by ? others : [known, ...others];
    if (source === undefined) {
      reply(null);
      return;
    }
    this.#wishes.set(key, { hash, offset, source, rest, waiting: [reply] });
    this.ask(source, hash, offset);
  }

  /** A piece that nobody has asked this agent for is not passed on. */
  piece(agent: string, hash: string, offset: number, total: number, data: Uint8Array): void {
    const wish = this.#wishes.get(`${hash}/${offset}`);
    if (wish?.source !== agent) return;
    this.#known.delete(hash);
    this.#known.set(hash, agent);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= REMEMBERED) break;
      this.#known.delete(oldest);
    }
    this.#end(wish, { total, data });
  }

  missing(agent: string, hash: string): void {
    if (this.#known.get(hash) === agent) this.#known.delete(hash);
    for (const wish of [...this.#wishes.values()]) if (wish.source === agent && wish.hash === hash) this.#askNext(wish);
  }

  /** It will not answer any more. */
  gone(agent: string): void {
    for (const [hash, source] of this.#known) if (source === agent) this.#known.delete(hash);
    for (const wish of [...this.#wishes.values()]) if (wish.source === agent) this.#askNext(wish);
  }

  #askNext(wish: Wish): void {
    const here = new Set(this.agents());
    let next = wish.rest.shift();
    while (next !== undefined && !here.has(next)) next = wish.rest.shift();
    if (next === undefined) this.#end(wish, null);
    else {
      wish.source = next;
      this.ask(next, wish.hash, wish.offset);
    }
  }

  #end(wish: Wish, answer: PieceAnswer): void {
    this.#wishes.delete(`${wish.hash}/${wish.offset}`);
    for (const reply of wish.waiting) reply(answer);
  }
}
