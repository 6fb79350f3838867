/** MissingRanks: who keeps the others waiting at a meeting. Loaded when ranks have waited for a while. */
import { TimeoutError } from "../../errors.ts";
import type { Logger } from "../../options.ts";
import type { Store } from "../../store/store.ts";
import { now } from "../../support/clock.ts";
import type { Settings } from "../init-options.ts";

/** Of more ranks rank 0 alone tells who is missing before the end: that each asks for all others would be more than a store can answer. */
const MANY_RANKS = 64;
const LONGEST_WAIT_OF_MANY_MS = 15_000;

/** How a rank waits for the others. */
interface Wait extends Pick<Settings, "timeoutMs" | "signal" | "logger"> {
  readonly deadline: number;
  /** The error of the store, of the first piece of the wait. */
  readonly cause: TimeoutError;
  /** Milliseconds after which it looks who has come. */
  readonly pieceMs: number;
}

/**
 * Waits for keys, each of which a rank sets when it comes, in pieces, until `signal` fires. Tells who is here when that has changed.
 * @throws TimeoutError naming the ranks that have not come at `deadline`.
 */
export async function waitForMissing(
  store: Store,
  keys: readonly string[],
  rank: number,
  { deadline, timeoutMs, signal, logger, pieceMs, ...first }: Wait,
): Promise<void> {
  const tells = rank === 0 || keys.length <= MANY_RANKS;
  const missing = new MissingRanks(store, keys);
  for (let { cause } = first; ; ) {
    signal?.throwIfAborted();
    const leftMs = Math.max(0, deadline - now());
    if ((tells || leftMs === 0) && !(await missing.look(logger))) return;
    if (leftMs === 0) throw missing.error(rank, timeoutMs, cause);
    try {
      return await store.wait(keys, Math.min(leftMs, tells ? pieceMs : LONGEST_WAIT_OF_MANY_MS));
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      cause = error;
    }
  }
}

/** The ranks of which this one has seen no key yet. */
export class MissingRanks {
  readonly #store: Store;
  readonly #keys: readonly string[];
  #ranks: readonly number[];
  #hasLooked = false;

  /** Each rank that has come has set one of `keys`, in the order of ranks. */
  constructor(store: Store, keys: readonly string[]) {
    this.#store = store;
    this.#keys = keys;
    this.#ranks = [...keys.keys()];
  }

  /** Looks again, and tells `logger` where somebody has come since. Is anybody missing still? */
  async look(logger: Logger): Promise<boolean> {
    const before = this.#ranks;
    this.#ranks = await this.#missingOf(before);
    if (!this.#hasLooked || this.#ranks.length < before.length) logger.info(this.#text);
    this.#hasLooked = true;
    return this.#ranks.length > 0;
  }

  /** The error of `rank`, which has waited for `timeoutMs`. */
  error(rank: number, timeoutMs: number, cause: TimeoutError): TimeoutError {
    const missingRanks = [...this.#ranks];
    return new TimeoutError(`rank ${rank}: after ${timeoutMs} ms ${this.#text}`, { rank, missingRanks, cause });
  }

  get #text(): string {
    const { length } = this.#keys;
    return `${length - this.#ranks.length} of ${length} ranks are here; missing: ${this.#ranks.join(", ")}`;
  }

  /** Asks for halves, and for halves of those: where few of very many are missing, few questions find them. */
  async #missingOf(ranks: readonly number[]): Promise<readonly number[]> {
    if (ranks.length === 0 || (await this.#store.check(ranks.map((rank) => this.#keys[rank]!)))) return [];
    if (ranks.length === 1) return ranks;
    const half = Math.ceil(ranks.length / 2);
    const parts = [ranks.slice(0, half), ranks.slice(half)];
    return (await Promise.all(parts.map((part) => this.#missingOf(part)))).flat();
  }
}
