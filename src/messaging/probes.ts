/** Probes: questions to all ranks of a group about a call that does not end, and what their answers tell. Loaded when one does not. */
import { startTimer } from "../support/clock.ts";

/** How long ranks have to answer, in milliseconds: where a machine has more to do than it can, one that lives takes some hundreds. */
const PROBE_MS = 400;

/** What a rank answers: has it made the call, and for whom does it wait there? */
interface Reply {
  readonly entered: boolean;
  readonly waitingFor: readonly number[];
}

/** Ranks that may keep a question from a rank, or its answer from this one. */
export interface Between {
  /** The rank whose process relays between the two; -1 if none does. */
  readonly relay: number;
  /** Those for whose sake a hub holds one of the two back; -1 for each that is of another group. */
  readonly slow: readonly number[];
}

/** The probes of one group. */
export class Probes {
  #lastId = 0;
  readonly #open = new Map<number, (rank: number, reply: Reply) => void>();

  /** The answer of `rank` has come. */
  onReply(rank: number, reply: Reply & { readonly id: number }): void {
    this.#open.get(reply.id)?.(rank, reply);
  }

  /**
   * Ranks that keep a call from ending: those of `others` that do not answer; if all answer, those that have not made the
   * call; if all have, those for which the others wait, and this rank, as `own` tells. `ask` sends the question. Of ranks that
   * others are `between`, nobody knows whether they would answer: a relay that does not is named, and who is slow, and not they.
   */
  async stragglers(
    others: readonly number[],
    ask: (id: number) => void,
    between: (rank: number) => Between,
    own: () => ReadonlySet<number> | undefined,
  ): Promise<number[]> {
    const before = new Map(others.map((rank) => [rank, between(rank).slow]));
    const replies = await this.#repliesOf(others, ask);
    const silent = others.filter((rank) => !replies.has(rank));
    if (silent.length > 0) {
      const named = silent.flatMap((rank) => {
        const { relay, slow } = between(rank);
        const slower = [...(before.get(rank) ?? []), ...slow];
        return slower.length > 0 ? slower : silent.includes(relay) ? [] : [rank];
      });
      return ascending(named.filter((rank) => rank >= 0));
    }
    const absent = others.filter((rank) => replies.get(rank)?.entered === false);
    if (absent.length > 0) return absent;
    const awaited = new Set(own());
    for (const { waitingFor } of replies.values()) for (const rank of waitingFor) awaited.add(rank);
    return ascending(awaited);
  }

  async #repliesOf(others: readonly number[], ask: (id: number) => void): Promise<Map<number, Reply>> {
    const replies = new Map<number, Reply>();
    this.#lastId += 1;
    const id = this.#lastId;
    await new Promise<void>((resolve) => {
      const timer = startTimer(PROBE_MS, resolve);
      this.#open.set(id, (rank, reply) => {
        replies.set(rank, reply);
        if (replies.size < others.length) return;
        timer.cancel();
        resolve();
      });
      ask(id);
    });
    this.#open.delete(id);
    return replies;
  }
}

function ascending(ranks: Iterable<number>): number[] {
  return [...new Set(ranks)].sort((a, b) => a - b);
}
