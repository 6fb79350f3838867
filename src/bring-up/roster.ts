/** Roster: what every rank says of itself at bring-up, and how two ranks are joined because of it. */
import { ProtocolError, TimeoutError } from "../errors.ts";
import type { LinkKind } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import type { Runtime } from "../types.ts";
import { decodeControl, encodeControl } from "../wire/control.ts";

/** What one rank offers: its NCCL and the UUIDs of the devices it sees, or why it has none. */
export type CudaOffer =
  | { readonly version: number; readonly devices: readonly string[] }
  | { readonly missing: string };

/** Where a rank's file in shared memory is, or why there is none. */
export type FileOffer = { readonly path: string } | { readonly missing: string };

/** One rank. */
export interface RosterEntry {
  readonly rank: number;
  readonly runtime: Runtime;
  /** Such as "node 20.20.2". */
  readonly version: string;
  readonly hostId: string;
  /** Where it accepts direct links; null if it does not. */
  readonly listenUrl: string | null;
  /** It is a task of the same thread as every other rank. */
  readonly inMemory: boolean;
  /** The job whose threads share their memory, and which of them it is; null if it is none. */
  readonly thread: { readonly job: string; readonly index: number } | null;
  /** Its file, for other processes of its host. */
  readonly sharedFile: FileOffer;
  /** Ranks whose files it has open. */
  readonly shares: readonly number[];
  /** Of each of its executors. */
  readonly arithmeticIds: readonly string[];
  /** Its NCCL, or why it has none. */
  readonly cuda: CudaOffer;
  /** Rank 0's is used by all; null for what suits the links. */
  readonly segmentBytes: number | null;
}

/** Links from the fastest to the slowest. */
const LINK_SPEED: readonly LinkKind[] = ["memory", "shared-memory", "shared-file", "websocket", "hub"];

/**
 * How two ranks are joined; both come to the same answer. They have a direct link if both listen and the higher one can
 * reach the lower one's address, else the hub relays; over a direct link they share files if each has the other's open.
 */
export function linkBetween(a: RosterEntry, b: RosterEntry): LinkKind {
  if (a.inMemory && b.inMemory) return "memory";
  if (a.thread && b.thread && a.thread.job === b.thread.job) return "shared-memory";
  const [lower, higher] = a.rank < b.rank ? [a, b] : [b, a];
  if (lower.listenUrl === null || higher.listenUrl === null) return "hub";
  if (lower.hostId !== higher.hostId && isLoopback(lower.listenUrl)) return "hub";
  return lower.shares.includes(higher.rank) && higher.shares.includes(lower.rank) ? "shared-file" : "websocket";
}

/** The slowest link between any two of these ranks, by which algorithms are chosen: the same on every rank. */
export function slowestLink(members: readonly RosterEntry[]): LinkKind {
  let slowest = 0;
  members.forEach((a, i) => {
    for (const b of members.slice(i + 1)) slowest = Math.max(slowest, LINK_SPEED.indexOf(linkBetween(a, b)));
  });
  return LINK_SPEED[slowest]!;
}

/**
 * Do all executors of these ranks compute the same bits? Ranks may give tensors in different memories to one call, and all
 * must choose the same algorithm, so every executor counts.
 */
export function haveSameArithmetic(members: readonly RosterEntry[]): boolean {
  return new Set(members.flatMap(({ arithmeticIds }) => arithmeticIds)).size === 1;
}

/**
 * The members in sets whose ranks are all linked directly, by their places in the list: each member joins the first set
 * of which that holds. Where two or more of a set are on NCCL and others are not, those are a set of their own. The sets
 * are in the order of their first ranks, and the same on every rank.
 */
export function clustersOf(
  members: readonly RosterEntry[],
  isOnNccl: (place: number) => boolean = () => false,
): number[][] {
  const linked: number[][] = [];
  members.forEach((member, place) => {
    const home = linked.find((cluster) => cluster.every((other) => linkBetween(member, members[other]!) !== "hub"));
    if (home) home.push(place);
    else linked.push([place]);
  });
  const clusters = linked.flatMap((cluster) => {
    const onNccl = cluster.filter(isOnNccl);
    if (onNccl.length < 2 || onNccl.length === cluster.length) return [cluster];
    return [onNccl, cluster.filter((place) => !isOnNccl(place))];
  });
  return clusters.sort((a, b) => a[0]! - b[0]!);
}

/**
 * Publishes this rank's entry under the name of `round`, and waits for all others'.
 * @throws TimeoutError naming the ranks that did not come within `timeoutMs`.
 */
export async function exchangeRoster(
  store: Store,
  round: string,
  own: RosterEntry,
  worldSize: number,
  timeoutMs: number,
): Promise<RosterEntry[]> {
  await store.set(`${round}/${own.rank}`, encodeControl(own));
  const keys = Array.from({ length: worldSize }, (_, rank) => `${round}/${rank}`);
  try {
    await store.wait(keys, timeoutMs);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    const present = await Promise.all(keys.map((key) => store.check([key])));
    const missingRanks = present.flatMap((there, rank) => (there ? [] : [rank]));
    throw new TimeoutError(
      `rank ${own.rank}: ${worldSize - missingRanks.length} of ${worldSize} ranks came within ${timeoutMs} ms; ` +
        `missing: rank ${missingRanks.join(", rank ")}`,
      { rank: own.rank, missingRanks, cause: error },
    );
  }
  return (await store.multiGet(keys)).map((bytes, rank) => {
    const entry = decodeControl(bytes) as RosterEntry;
    if (entry?.rank !== rank) throw new ProtocolError(`the store's roster entry of rank ${rank} is not one`);
    return entry;
  });
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
}
