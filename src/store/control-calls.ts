/**
 * The calls of StoreCollectives. Keys of a call on the store, as c10d has them:
 *
 *   key                 broadcast: the data · allSum: the sum
 *   key/r               gather, allGather, scatter: rank r's data · barrier: that rank r came
 *   key/num_members     barrier: how many came
 *   key/last_members    barrier: that all came
 *
 * allSum's barrier has the key key/barrier.
 */
import { StoreError, TimeoutError } from "../errors.ts";
import { storeWaitOf } from "../support/timeouts.ts";
import type { CounterValue, Store } from "./store.ts";

/** Who calls: StoreCollectives. */
interface Caller {
  readonly store: Store;
  readonly rank: number;
  readonly worldSize: number;
  readonly used: Set<string>;
}

export async function barrier(caller: Caller, key: string, timeoutMs: number, block: boolean): Promise<void> {
  begin(caller, key, timeoutMs);
  const { store, rank, worldSize } = caller;
  const came = await store.add(`${key}/num_members`, 1);
  await store.set(rankKey(key, rank), "joined");
  if (came === worldSize) await store.set(`${key}/last_members`, "");
  else if (block) await waitFor(caller, "barrier", key, [`${key}/last_members`], timeoutMs);
}

export async function allSum<N extends number | bigint>(
  caller: Caller,
  key: string,
  value: N,
  timeoutMs: number,
): Promise<CounterValue<N>> {
  begin(caller, key, timeoutMs);
  await caller.store.add(key, value);
  await barrier(caller, `${key}/barrier`, timeoutMs, true);
  return caller.store.add(key, (typeof value === "bigint" ? 0n : 0) as N);
}

export async function broadcastSend(caller: Caller, key: string, data: Uint8Array): Promise<void> {
  begin(caller, key);
  await caller.store.set(key, data);
}

export async function broadcastRecv(caller: Caller, key: string, timeoutMs: number): Promise<Uint8Array> {
  begin(caller, key, timeoutMs);
  return received(caller, "broadcast", key, key, timeoutMs);
}

export async function gatherSend(caller: Caller, key: string, data: Uint8Array): Promise<void> {
  begin(caller, key);
  await caller.store.set(rankKey(key, caller.rank), data);
}

export async function gatherRecv(
  caller: Caller,
  key: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array[]> {
  begin(caller, key, timeoutMs);
  const gathered = await valuesOf(caller, "gather", key, othersOf(caller), timeoutMs);
  gathered.splice(caller.rank, 0, data);
  return gathered;
}

export async function scatterSend(caller: Caller, key: string, data: readonly Uint8Array[]): Promise<Uint8Array> {
  const { rank, worldSize, store } = caller;
  if (data.length !== worldSize) {
    throw new RangeError(`scatterSend: ${data.length} values for ${worldSize} ranks: pass one for each`);
  }
  begin(caller, key);
  const others = othersOf(caller);
  await store.multiSet(
    others.map((other) => rankKey(key, other)),
    others.map((other) => data[other]!),
  );
  return data[rank]!;
}

export async function scatterRecv(caller: Caller, key: string, timeoutMs: number): Promise<Uint8Array> {
  begin(caller, key, timeoutMs);
  return received(caller, "scatter", key, rankKey(key, caller.rank), timeoutMs);
}

export async function allGather(
  caller: Caller,
  key: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array[]> {
  begin(caller, key, timeoutMs);
  await caller.store.set(rankKey(key, caller.rank), data);
  const all = Array.from({ length: caller.worldSize }, (_, rank) => rank);
  return valuesOf(caller, "allGather", key, all, timeoutMs);
}

/** Sees that the call's key has not served before. */
function begin({ used }: Caller, key: string, timeoutMs = 0): void {
  if (typeof key !== "string") throw new TypeError(`key must be a string, got ${typeof key}`);
  storeWaitOf(timeoutMs);
  if (used.has(key)) throw new StoreError(`Key ${key} has already been used.`);
  used.add(key);
}

/** What another rank sends under `name`. */
async function received({ store }: Caller, call: string, key: string, name: string, timeoutMs: number) {
  try {
    await store.wait([name], timeoutMs);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    throw new TimeoutError(`${call} failed -- nothing was sent under "${key}" within ${timeoutMs} ms`, {
      cause: error,
    });
  }
  return store.get(name);
}

/** The values of these ranks, which are waited for. */
async function valuesOf(caller: Caller, call: string, key: string, ranks: readonly number[], timeoutMs: number) {
  const names = ranks.map((rank) => rankKey(key, rank));
  await waitFor(caller, call, key, names, timeoutMs);
  return caller.store.multiGet(names);
}

/** Waits for keys; a timeout names the ranks that have not left a sign of themselves. */
async function waitFor(caller: Caller, call: string, key: string, names: readonly string[], timeoutMs: number) {
  const { store } = caller;
  try {
    await store.wait(names, timeoutMs);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    const others = othersOf(caller);
    const came = await Promise.all(others.map((rank) => store.check([rankKey(key, rank)])));
    const missingRanks = others.filter((_, i) => !came[i]);
    throw new TimeoutError(`${call} failed -- missing ranks: ${missingRanks.join(", ")}`, {
      missingRanks,
      cause: error,
    });
  }
}

const rankKey = (key: string, rank: number) => `${key}/${rank}`;

const othersOf = ({ rank, worldSize }: Caller): number[] =>
  Array.from({ length: worldSize }, (_, other) => other).filter((other) => other !== rank);
