/**
 * Which algorithm runs: a table per collective, of which the first row that fits is taken.
 *
 * The sizes at which one row gives way to the next are provisional: reasoned from message and byte counts, and measured only
 * where docs/performance.md says so ("Crossovers").
 */

import { areasOf, type Late, sharedOf } from "../../algorithm/context.ts";
import { allReduceHub, allReduceTwoLevel } from "../../algorithm/hub/all-reduce.ts";
import { allGatherHub, barrierHub, broadcastHub, reduceHub } from "../../algorithm/hub/copies.ts";
import { allGatherDirect } from "../../algorithm/messages/all-gather-direct.ts";
import { allGatherDoubling } from "../../algorithm/messages/all-gather-doubling.ts";
import { allGatherRing } from "../../algorithm/messages/all-gather-ring.ts";
import { allReduceDirect } from "../../algorithm/messages/all-reduce-direct.ts";
import { allReduceDoubling } from "../../algorithm/messages/all-reduce-doubling.ts";
import { allReduceHalving } from "../../algorithm/messages/all-reduce-halving.ts";
import { allReduceOwnerDirect } from "../../algorithm/messages/all-reduce-owner-direct.ts";
import { allReduceRing } from "../../algorithm/messages/all-reduce-ring.ts";
import { allToAll } from "../../algorithm/messages/all-to-all.ts";
import { barrier } from "../../algorithm/messages/barrier.ts";
import { broadcastBinomial } from "../../algorithm/messages/broadcast-binomial.ts";
import { broadcastDirect } from "../../algorithm/messages/broadcast-direct.ts";
import { broadcastScatterAllGather } from "../../algorithm/messages/broadcast-scatter-all-gather.ts";
import { gather } from "../../algorithm/messages/gather.ts";
import { reduceBinomial } from "../../algorithm/messages/reduce-binomial.ts";
import { reduceDirect } from "../../algorithm/messages/reduce-direct.ts";
import { reduceScatterDirect } from "../../algorithm/messages/reduce-scatter-direct.ts";
import { reduceOwnerDirect, reduceScatterGather } from "../../algorithm/messages/reduce-scatter-gather.ts";
import { reduceScatterRing } from "../../algorithm/messages/reduce-scatter-ring.ts";
import { scan } from "../../algorithm/messages/scan.ts";
import { scatter } from "../../algorithm/messages/scatter.ts";
import type { LinkKind } from "../../link/link.ts";

/** A function of the same arguments that may be done when it returns. */
type MaybeLate<F extends (...call: never[]) => Promise<void>> = (...call: Parameters<F>) => Late;

/** What each collective's algorithms look like. */
interface Run {
  allReduce: MaybeLate<typeof allReduceRing>;
  reduceScatter: MaybeLate<typeof reduceScatterRing>;
  allGather: MaybeLate<typeof allGatherRing>;
  broadcast: MaybeLate<typeof broadcastBinomial>;
  reduce: MaybeLate<typeof reduceBinomial>;
  gather: typeof gather;
  scatter: typeof scatter;
  allToAll: typeof allToAll;
  barrier: MaybeLate<typeof barrier>;
  scan: typeof scan;
}

/** A collective that has algorithms; the other public calls are forms of these. */
export type AlgorithmFamily = keyof Run;

/** One algorithm, and when it is taken. */
export interface Row<C extends AlgorithmFamily> {
  /** What `algorithm:` and WEBCCL_ALGO call it. */
  readonly algorithm: string;
  readonly run: Run[C];
  /** Every element is computed by one rank. Else several ranks compute it, and their arithmetic must be equal. */
  readonly ownerComputes: boolean;
  /** The result is the left fold ((x0 op x1) op x2) … in rank order, or nothing is folded at all. */
  readonly rankOrder: boolean;
  /**
   * It cannot run without a hub that all ranks are connected to, or without one and direct links as well; or without a
   * shared region, which only groups of threads have; or without areas, which only processes that share files have.
   */
  readonly needs?: "hub" | "hub and clusters" | "region" | "areas";
  /** The most segments of scratch that one in flight takes, among `size` ranks. Default: none. */
  readonly scratch?: (size: number) => number;
  /** Where it is the better one; a caller who names it is not held to these. */
  readonly links?: readonly LinkKind[];
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly minRanks?: number;
  readonly maxRanks?: number;
  /** Only where the ranks are threads that outnumber their cores. */
  readonly crowded?: true;
}

const KIB = 1024;

/** A row that only moves data, or folds on the one rank that gets the result, in rank order. */
const exact = { ownerComputes: true, rankOrder: true } as const;
/** A row that folds each element on one rank, in an order of its own. */
const owned = { ownerComputes: true, rankOrder: false } as const;

/** What every row for threads has. Its algorithm comes with the region: in the context. */
const inRegion = { ...exact, needs: "region", links: ["shared-memory"] } as const;

/** What every row for processes that share files has, likewise. */
const inAreas = { ...exact, algorithm: "areas", needs: "areas", links: ["shared-file"] } as const;

const areasDirect: Row<"allReduce"> = {
  ...inAreas,
  algorithm: "areas-direct",
  run: (context, tensor, op) => areasOf(context).algorithms.allReduceAreasDirect(context, tensor, op),
  ownerComputes: false,
};

/** Segments of scratch. */
const one = { scratch: () => 1 } as const;
const two = { scratch: () => 2 } as const;
const perPeer = { scratch: (size: number) => size - 1 } as const;

const direct = {
  algorithm: "direct",
  run: allReduceDirect,
  ownerComputes: false,
  rankOrder: true,
  ...perPeer,
} as const;
const doubling = {
  algorithm: "doubling",
  run: allReduceDoubling,
  ownerComputes: false,
  rankOrder: false,
  ...one,
} as const;
const ownerDirect = { algorithm: "owner-direct", run: allReduceOwnerDirect, ...exact, ...perPeer } as const;
const halving = { algorithm: "halving", run: allReduceHalving, ...owned, ...one } as const;
const ring = { algorithm: "ring", run: allReduceRing, ...owned, ...two } as const;
const scatterDirect = { algorithm: "direct", run: reduceScatterDirect, ...exact, ...perPeer } as const;
const gatherDirect = { algorithm: "direct", run: allGatherDirect, ...exact } as const;
const binomial = { algorithm: "binomial", run: broadcastBinomial, ...exact } as const;
/** A row that the hub runs. Of two ranks each sends and receives as much without. */
const atHub = { ...exact, needs: "hub", links: ["hub"], minRanks: 3 } as const;
/** Ranks that wait for few others take fewer steps than in a ring, in which each waits for the scheduler; measured with two and four. */
const fewSockets = { links: ["websocket"], maxRanks: 4 } as const;
const reduceSmall = { algorithm: "direct", run: reduceDirect, ...exact, ...perPeer } as const;

/**
 * The rows, best first. In each list a row without limits stands behind the others, and one that is `exact` among them,
 * so that every call finds one. On links through a hub every message takes the same two hops, so the fewest steps win,
 * and what the hub folds or copies itself goes up only once.
 */
const TABLE: { readonly [C in AlgorithmFamily]: readonly Row<C>[] } = {
  allReduce: [
    {
      algorithm: "slots",
      run: (context, tensor, op) => sharedOf(context).algorithms.allReduceSlots(context, tensor, op),
      ...inRegion,
      ownerComputes: false,
      maxBytes: KIB,
    },
    {
      algorithm: "last",
      run: (context, tensor, op) => sharedOf(context).algorithms.allReduceLast(context, tensor, op),
      ...inRegion,
      crowded: true,
      maxBytes: 512 * KIB,
    },
    {
      algorithm: "one-pass",
      run: (context, tensor, op) => sharedOf(context).algorithms.allReduceOnePass(context, tensor, op),
      ...inRegion,
    },
    { ...areasDirect, maxBytes: 512 * KIB, maxRanks: 2 },
    { ...areasDirect, maxBytes: 128 * KIB, maxRanks: 4 },
    { ...areasDirect, maxBytes: 8 * KIB },
    { ...inAreas, run: (context, tensor, op) => areasOf(context).algorithms.allReduceAreas(context, tensor, op) },
    {
      algorithm: "two-level",
      run: allReduceTwoLevel,
      ...owned,
      ...perPeer,
      needs: "hub and clusters",
      links: ["hub"],
      minRanks: 3,
    },
    { algorithm: "hub", run: allReduceHub, ...atHub },
    // Two copies of all bytes, but one wait: measured, it gives way to owner-direct between 256 KiB and 1 MiB.
    { ...direct, links: ["shared-file"], maxBytes: 256 * KIB, maxRanks: 2 },
    { ...direct, links: ["websocket"], maxBytes: 512 * KIB, maxRanks: 2 },
    { ...doubling, links: ["websocket"], maxBytes: 256 * KIB, minRanks: 4 },
    { ...halving, links: ["websocket"], maxBytes: 1024 * KIB, minRanks: 4 },
    { ...direct, maxBytes: 8 * KIB, maxRanks: 8 },
    { ...ownerDirect, maxBytes: 1024 * KIB, maxRanks: 8 },
    { ...ownerDirect, ...fewSockets },
    { ...doubling, maxBytes: 64 * KIB },
    { ...ownerDirect, links: ["hub"] },
    { ...halving, maxBytes: 1024 * KIB },
    ring,
    ownerDirect,
  ],
  reduceScatter: [
    {
      algorithm: "one-pass",
      run: (context, output, inputs, op) =>
        sharedOf(context).algorithms.reduceScatterOnePass(context, output, inputs, op),
      ...inRegion,
    },
    {
      ...inAreas,
      run: (context, output, inputs, op) => areasOf(context).algorithms.reduceScatterAreas(context, output, inputs, op),
    },
    { ...scatterDirect, maxBytes: 1024 * KIB },
    { ...scatterDirect, ...fewSockets },
    { ...scatterDirect, links: ["hub"] },
    { algorithm: "ring", run: reduceScatterRing, ...owned, ...two },
    scatterDirect,
  ],
  allGather: [
    {
      algorithm: "pull",
      run: (context, outputs, input) => sharedOf(context).algorithms.allGatherPull(context, outputs, input),
      ...inRegion,
    },
    {
      ...inAreas,
      run: (context, outputs, input) => areasOf(context).algorithms.allGatherAreas(context, outputs, input),
    },
    { algorithm: "hub", run: allGatherHub, ...atHub, minBytes: 4 * KIB },
    { ...gatherDirect, maxBytes: 1024 * KIB, maxRanks: 8 },
    { ...gatherDirect, ...fewSockets },
    { algorithm: "doubling", run: allGatherDoubling, ...exact, maxBytes: 64 * KIB },
    { ...gatherDirect, links: ["hub"] },
    { algorithm: "ring", run: allGatherRing, ...exact },
  ],
  broadcast: [
    {
      algorithm: "pull",
      run: (context, tensor, root) => sharedOf(context).algorithms.broadcastPull(context, tensor, root),
      ...inRegion,
    },
    { ...inAreas, run: (context, tensor, root) => areasOf(context).algorithms.broadcastAreas(context, tensor, root) },
    { algorithm: "hub", run: broadcastHub, ...atHub },
    // Measured between ranks of one host. Of ranks on hosts of their own the root would send twice as much as by the last row.
    { algorithm: "direct", run: broadcastDirect, ...exact, ...fewSockets, maxBytes: 8192 * KIB },
    { ...binomial, maxBytes: 512 * KIB },
    { ...binomial, maxRanks: 2 },
    { algorithm: "scatter-all-gather", run: broadcastScatterAllGather, ...exact },
  ],
  reduce: [
    {
      algorithm: "one-pass",
      run: (context, tensor, root, op) => sharedOf(context).algorithms.reduceOnePass(context, tensor, root, op),
      ...inRegion,
    },
    {
      ...inAreas,
      run: (context, tensor, root, op) => areasOf(context).algorithms.reduceAreas(context, tensor, root, op),
    },
    { algorithm: "hub", run: reduceHub, ...atHub },
    { ...reduceSmall, maxBytes: 8 * KIB, maxRanks: 8 },
    { algorithm: "binomial", run: reduceBinomial, ...owned, ...two, maxBytes: 256 * KIB },
    { algorithm: "reduce-scatter-gather", run: reduceScatterGather, ...owned, scratch: () => 3 },
    { ...reduceSmall, maxBytes: 256 * KIB },
    { algorithm: "owner-direct", run: reduceOwnerDirect, ...exact, scratch: (size) => size },
  ],
  gather: [{ algorithm: "linear", run: gather, ...exact }],
  scatter: [{ algorithm: "linear", run: scatter, ...exact }],
  allToAll: [{ algorithm: "pairwise", run: allToAll, ...exact }],
  barrier: [
    { algorithm: "step", run: (context) => sharedOf(context).algorithms.barrierStep(context), ...inRegion },
    { ...inAreas, run: (context) => areasOf(context).algorithms.barrierAreas(context) },
    { algorithm: "hub", run: barrierHub, ...atHub },
    { algorithm: "dissemination", run: barrier, ...exact },
  ],
  scan: [{ algorithm: "chain", run: scan, ...exact, ...one }],
};

/** What the choice depends on. All of it is the same on every rank of a call. */
export interface SelectQuery<C extends AlgorithmFamily> {
  collective: C;
  /** Bytes of the tensor; where ranks have blocks of their own, of all blocks together. */
  bytes: number;
  /** Ranks in the group. */
  size: number;
  /** The slowest kind of link in the group. */
  link: LinkKind;
  deterministic: boolean;
  /** False for an operation that must be folded in rank order. */
  commutative: boolean;
  /** All ranks report one arithmetic id, and the operation is not a custom one. */
  sameArithmetic: boolean;
  /** What the group has of a hub: none, one to which all ranks are connected, or that and direct links among some. */
  hub: "none" | "all" | "clusters";
  /**
   * The tensors' executor works in memory that the ranks share (crowded, if these are more than there are cores), or in
   * the memory of processes that have areas.
   */
  inRegion: "crowded" | "uncrowded" | "areas" | false;
  /** The operation has code of its caller's. */
  custom: boolean;
  /** The algorithm the caller named. */
  algorithm?: string | undefined;
}

/** The names of a collective's algorithms, each once. */
export function algorithmNames(collective: AlgorithmFamily): string[] {
  return namesOf(TABLE[collective]);
}

/**
 * The row that runs a call: the one the caller named, else the first that fits.
 * @throws RangeError if the collective has no algorithm of that name, or if it may not be used for this call: it does not
 * fold in rank order where the call is deterministic or the operation not commutative, or several ranks would compute the
 * same element with unequal arithmetic. The message lists the names that would do.
 */
export function selectAlgorithm<C extends AlgorithmFamily>(query: SelectQuery<C>): Row<C> {
  const { collective, algorithm } = query;
  const rows: readonly Row<C>[] = TABLE[collective];
  for (const row of rows) {
    const meant = algorithm === undefined ? fits(row, query) : row.algorithm === algorithm;
    if (meant && objection(row, query) === null) return row;
  }

  const allowed = rows.filter((row) => objection(row, query) === null);
  const named = rows.find((row) => row.algorithm === algorithm);
  const reason = named ? objection(named, query) : `${collective} has no such algorithm`;
  throw new RangeError(`algorithm ${JSON.stringify(algorithm)}: ${reason}; use one of ${namesOf(allowed).join(", ")}`);
}

/** Why a row would give wrong or unequal bits, or null if it would not. */
function objection<C extends AlgorithmFamily>(row: Row<C>, query: SelectQuery<C>): string | null {
  if (query.deterministic && !row.rankOrder) return "deterministic mode needs one that folds in rank order";
  if (!query.commutative && !row.rankOrder)
    return "an operation that is not commutative needs one that folds in rank order";
  if (!query.sameArithmetic && !row.ownerComputes) {
    return "several ranks would compute the same element, and their arithmetic is not known to be equal";
  }
  if (row.needs === "areas")
    return query.inRegion === "areas" ? null : "it needs processes of one host that share files";
  if (row.needs === "region") {
    const ofThreads = query.inRegion === "crowded" || query.inRegion === "uncrowded";
    return ofThreads ? null : "it needs ranks that are threads of one job";
  }
  if (row.needs && query.hub === "none") return "the ranks are not all connected to one hub";
  if (row.needs === "hub and clusters" && query.hub !== "clusters") return "no two ranks are linked directly";
  if (row.needs && query.custom) return "a hub runs no code of its callers'";
  return null;
}

function fits<C extends AlgorithmFamily>(row: Row<C>, { bytes, size, link, inRegion }: SelectQuery<C>): boolean {
  const { minBytes = 0, maxBytes = Infinity, minRanks = 0, maxRanks = Infinity, links } = row;
  const suits = links === undefined || links.includes(link);
  if (row.crowded && inRegion !== "crowded") return false;
  return suits && bytes >= minBytes && bytes <= maxBytes && size >= minRanks && size <= maxRanks;
}

function namesOf(rows: readonly { algorithm: string }[]): string[] {
  return [...new Set(rows.map((row) => row.algorithm))];
}
