/** StoreCollectives: collectives over the keys of a store, for ranks that have no group yet (c10d's control collectives). */
import { DEFAULT_TIMEOUT_MS } from "../options.ts";
import { type CounterValue, ownBytes, type Store, type StoreValue } from "./store.ts";

/** The code is loaded with the first call. */
const load = () => import("./control-calls.ts");

/**
 * Collectives of `worldSize` processes, each with a `rank` of its own, which share a store. They send values of some bytes, not
 * tensors. A key serves for one call: a second call with it rejects with "Key X has already been used.". Keys on the store are those of
 * c10d, so that processes of PyTorch can take part. A call that waits rejects with TimeoutError after `timeoutMs` (by default 300,000; 0
 * looks once, Infinity waits for good), and names the ranks that did not come.
 */
export class StoreCollectives {
  /** The store that all ranks see. */
  readonly store: Store;
  /** This rank, from 0 on. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly worldSize: number;
  /** @internal The keys that have served. */
  readonly used: Set<string> = new Set();

  /** @throws TypeError if `store` is no Store; RangeError if `worldSize` is below 1, or `rank` is none of its ranks. */
  constructor(store: Store, rank: number, worldSize: number) {
    if (store === null || typeof store !== "object") throw new TypeError("StoreCollectives: store must be a Store");
    if (!Number.isInteger(worldSize) || !Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
      throw new RangeError(`StoreCollectives: rank ${rank} is no rank of worldSize ${worldSize}`);
    }
    this.store = store;
    this.rank = rank;
    this.worldSize = worldSize;
  }

  /** Resolves when all ranks have come; with `block` false when this one has said that it came. */
  async barrier(key: string, timeoutMs: number = DEFAULT_TIMEOUT_MS, block = true): Promise<void> {
    return (await load()).barrier(this, key, timeoutMs, block);
  }

  /** The sum of every rank's `value`, on every rank. A number or a bigint, as `Store.add` takes and returns it. */
  async allSum<N extends number | bigint>(
    key: string,
    value: N,
    timeoutMs: number = DEFAULT_TIMEOUT_MS,
  ): Promise<CounterValue<N>> {
    return (await load()).allSum(this, key, value, timeoutMs);
  }

  /** Gives `data` to every rank that calls `broadcastRecv`. One rank calls it. */
  async broadcastSend(key: string, data: StoreValue): Promise<void> {
    const own = ownBytes(data);
    return (await load()).broadcastSend(this, key, own);
  }

  /** What the rank that called `broadcastSend` gave. */
  async broadcastRecv(key: string, timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Uint8Array> {
    return (await load()).broadcastRecv(this, key, timeoutMs);
  }

  /** Gives this rank's `data` to the one that calls `gatherRecv`. */
  async gatherSend(key: string, data: StoreValue): Promise<void> {
    const own = ownBytes(data);
    return (await load()).gatherSend(this, key, own);
  }

  /** What every rank gave, by rank, with this rank's own `data`. */
  async gatherRecv(key: string, data: StoreValue, timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Uint8Array[]> {
    const own = ownBytes(data);
    return (await load()).gatherRecv(this, key, own, timeoutMs);
  }

  /** Gives each rank the value of `data` at its index. Resolves to this rank's own. */
  async scatterSend(key: string, data: readonly StoreValue[]): Promise<Uint8Array> {
    const own = data.map(ownBytes);
    return (await load()).scatterSend(this, key, own);
  }

  /** This rank's part of what the rank that called `scatterSend` gave. */
  async scatterRecv(key: string, timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Uint8Array> {
    return (await load()).scatterRecv(this, key, timeoutMs);
  }

  /** What every rank gave, by rank, on every rank. */
  async allGather(key: string, data: StoreValue, timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Uint8Array[]> {
    const own = ownBytes(data);
    return (await load()).allGather(this, key, own, timeoutMs);
  }
}
