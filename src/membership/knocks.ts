/**
 * Knocks: how a rank that joins asks to be let in, and hears with whom to link, at the store of the job:
 *
 *   membership/knock/n      seat and roster entry of the n-th, who takes the first number that is free
 *   membership/served       how many of them have been answered
 *   membership/answer/n     the answer to the n-th: an invitation, or why there is none
 */
import { AdmissionError, StoreError, TimeoutError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import { now } from "../support/clock.ts";
import { decodeControl, encodeControl } from "../wire/control.ts";
import { expectArray, expectFields, expectInteger, expectOptional, expectString } from "../wire/schema.ts";
import { expectJoiner, type Joiner } from "./messages.ts";
import { expectEpoch, expectSeats } from "./verdict.ts";

/** The longest single wait, in milliseconds: a rank that gives up leaves none behind in a store of the caller's. */
const LONGEST_WAIT_MS = 1_000;

/** What a rank that knocked is to do. */
export interface Invitation {
  /** The epoch to come. */
  readonly epoch: number;
  /** The members of the epoch that ends. */
  readonly members: readonly number[];
  /** Everyone with whom to link: those members, and others that knocked. */
  readonly entries: readonly Uint8Array[];
}

/**
 * Knocks for the rank of `seat`, and returns the number of the knock: the first that nobody has.
 * @throws TimeoutError if it has none after `timeoutMs`; StoreError if the store keeps nothing.
 */
export async function knock(
  store: Store,
  seat: number,
  entry: Uint8Array,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const deadline = now() + timeoutMs;
  for (let number = (await served(store)) + 1; now() < deadline; number++) {
    signal?.throwIfAborted();
    const own = encodeControl({ number, seat, entry });
    const holder = await store.compareSet(knockOf(number), "", own);
    if (holder.byteLength === 0) {
      throw new StoreError(`the store did not keep ${knockOf(number)}: its compareSet must set a key that is absent`);
    }
    if (holder.byteLength === own.byteLength && holder.every((byte, at) => byte === own[at])) return number;
  }
  throw new TimeoutError(`the store gave this rank no number to join by within ${timeoutMs} ms: others have them all`);
}

/**
 * Waits for the answer to a knock.
 * @throws TimeoutError if none came; AdmissionError if the rank may not come in.
 */
export async function answered(
  store: Store,
  number: number,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Invitation> {
  const key = `membership/answer/${number}`;
  await waitInPieces(store, key, timeoutMs, signal, () => {
    return new TimeoutError(
      `nobody called admit within ${timeoutMs} ms: the group's ranks let in those who join there`,
    );
  });
  const fields = expectFields(decodeControl(await store.get(key)));
  const refusal = expectOptional(fields, "refusal", expectString);
  if (refusal !== null) throw new AdmissionError(refusal);
  return {
    epoch: expectEpoch(fields.epoch),
    members: expectSeats(expectArray(fields, "members")),
    entries: expectArray(fields, "entries") as readonly Uint8Array[],
  };
}

/** Answers a knock. */
export function answer(store: Store, number: number, said: Invitation | { refusal: string }): Promise<void> {
  return store.set(`membership/answer/${number}`, encodeControl(said));
}

/** Those that knocked since the last that was served. */
export async function unanswered(store: Store): Promise<Joiner[]> {
  const joiners: Joiner[] = [];
  for (let number = (await served(store)) + 1; await store.check([knockOf(number)]); number++) {
    joiners.push(expectJoiner(decodeControl(await store.get(knockOf(number)))));
  }
  return joiners;
}

/** From now on the first `total` knocks are over. */
export async function serve(store: Store, total: number): Promise<void> {
  const before = await served(store);
  if (before < total) await store.add("membership/served", total - before);
}

const served = (store: Store) => store.add("membership/served", 0);
const knockOf = (number: number) => `membership/knock/${number}`;

/** Calls `onKnock` with the seat of each that knocks from now on, until `isOver`. */
export async function watchKnocks(store: Store, onKnock: (seat: number) => void, isOver: () => boolean): Promise<void> {
  for (let number = (await served(store)) + 1; !isOver(); ) {
    const key = knockOf(number);
    try {
      await store.wait([key], LONGEST_WAIT_MS);
    } catch (error) {
      if (error instanceof TimeoutError) continue;
      throw error;
    }
    const fields = expectFields(decodeControl(await store.get(key)));
    if (!isOver()) onKnock(expectInteger(fields, "seat", 0, Number.MAX_SAFE_INTEGER));
    number++;
  }
}

/** Waits for a key until `signal` fires, or `timeoutMs` have passed, which is the error that `late` makes. */
export async function waitInPieces(
  store: Store,
  key: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<void> {
  for (const deadline = now() + timeoutMs; ; ) {
    signal?.throwIfAborted();
    const leftMs = deadline - now();
    if (leftMs <= 0) throw late();
    try {
      return await store.wait([key], Math.min(leftMs, LONGEST_WAIT_MS));
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
}
