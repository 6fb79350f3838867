/** Roster: what every rank says of itself at bring-up. `linking.ts` tells from it how two ranks are joined. */
import type { NcclAbilities } from "../backend/nccl/library.ts";
import { ProtocolError, TimeoutError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import { now } from "../support/clock.ts";
import type { Runtime } from "../types.ts";
import { decodeControl, encodeControl } from "../wire/control.ts";
import type { IntegrityWish, Settings } from "./init-options.ts";

/** The longest single wait, in milliseconds: a bring-up that has ended leaves none behind in a store of the caller's. */
const LONGEST_WAIT_MS = 1_000;

/** What one rank offers: its NCCL, the UUIDs of the devices it sees, and what it can do with them; or why it has none. */
export type CudaOffer =
  | { readonly version: number; readonly devices: readonly string[]; readonly abilities: NcclAbilities }
  | { readonly missing: string };

/** Where a rank's file in shared memory is, or why there is none. */
export type FileOffer = { readonly path: string } | { readonly missing: string };

/** Where a rank's common memory is, for processes of its host to map, and how it begins; or why there is none. */
export type MappedOffer = { readonly path: string; readonly mark: string } | { readonly missing: string };

/** A rank's wish, and what tells whether it needs them. */
export interface IntegrityOffer {
  readonly wish: IntegrityWish;
  /** Its connection to the hub is encrypted. */
  readonly hubTls: boolean;
  /** Its address for direct links is that of its port, and not one that `listen.advertise` gave. */
  readonly listensThere: boolean;
}

/** One rank. */
export interface RosterEntry {
  readonly rank: number;
  readonly runtime: Runtime;
  /** Such as "node 20.20.2". */
  readonly version: string;
  readonly hostId: string;
  /** Names its process among all of its machine and others; empty where that cannot be told. */
  readonly processId: string;
  /** Where it accepts direct links; null if it does not. */
  readonly listenUrl: string | null;
  /** It is a task of the same thread as every other rank. */
  readonly inMemory: boolean;
  /** The job whose threads share their memory, and which of them it is; null if it is none. */
  readonly thread: { readonly job: string; readonly index: number } | null;
  /** The tabs among which it is one, and its number there; null if it is none. */
  readonly tab: { readonly room: string; readonly seat: number } | null;
  /** It can make data channels, and uses them "always", or where they are "faster" than the hub; null if it makes none. */
  readonly webrtc: "always" | "faster" | null;
  /** Ranks to which it has a data channel, and uses it. */
  readonly dataChannels: readonly number[];
  /** Its file, for other processes of its host. */
  readonly sharedFile: FileOffer;
  /** Ranks whose files it has open. */
  readonly shares: readonly number[];
  /** Its common memory; of those of a host, one is used by all. */
  readonly mappedMemory: MappedOffer;
  /** Ranks with which it has mapped one memory. */
  readonly maps: readonly number[];
  /** Of each of its executors. */
  readonly arithmeticIds: readonly string[];
  /** Its NCCL, or why it has none. */
  readonly cuda: CudaOffer;
  /** Whether it wants checksums, and where it does without. */
  readonly integrity: IntegrityOffer;
  /** Rank 0's is used by all; null for what suits the links. */
  readonly segmentBytes: number | null;
}

/**
 * Do all executors of these ranks compute the same bits? Ranks may give tensors in different memories to one call, and all
 * must choose the same algorithm, so every executor counts.
 */
export function haveSameArithmetic(members: readonly RosterEntry[]): boolean {
  return new Set(members.flatMap(({ arithmeticIds }) => arithmeticIds)).size === 1;
}

/**
 * Publishes this rank's entry under the name of `round`, and waits for all others'.
 * @throws TimeoutError naming the ranks that did not come within `timeoutMs`.
 */
export async function exchangeRoster(
  store: Store,
  round: string,
  own: RosterEntry,
  settings: Pick<Settings, "worldSize" | "timeoutMs" | "signal" | "logger">,
): Promise<RosterEntry[]> {
  const { worldSize, timeoutMs } = settings;
  const deadline = now() + timeoutMs;
  await store.set(`${round}/${own.rank}`, encodeControl(own));
  const keys = Array.from({ length: worldSize }, (_, rank) => `${round}/${rank}`);
  try {
    await store.wait(keys, Math.min(timeoutMs, LONGEST_WAIT_MS));
  } catch (cause) {
    if (!(cause instanceof TimeoutError)) throw cause;
    const { waitForMissing } = await import("./meeting/missing-ranks.ts");
    await waitForMissing(store, keys, own.rank, { ...settings, deadline, cause, pieceMs: LONGEST_WAIT_MS });
  }
  return (await store.multiGet(keys)).map((bytes, rank) => {
    const entry = decodeControl(bytes) as RosterEntry;
    if (entry?.rank !== rank) throw new ProtocolError(`the store's roster entry of rank ${rank} is not one`);
    return entry;
  });
}
