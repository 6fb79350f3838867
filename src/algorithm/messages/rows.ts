/**
 * The algorithms over messages, which every group can run. In each list a row without limits stands behind the others, and
 * one that is `exact` among them, so that every call finds one.
 *
 * The sizes at which one row gives way to the next were measured where docs/notes says so, else reasoned from counts of
 * messages and bytes.
 */

import { exact, KIB, one, owned, perPeer, type Row, type Rows, two } from "../rows.ts";
import { FEW_RANKS } from "../tuning.ts";
import { allGatherDirect } from "./all-gather-direct.ts";
import { allGatherDoubling } from "./all-gather-doubling.ts";
import { allGatherRing } from "./all-gather-ring.ts";
import { allReduceDirect } from "./all-reduce-direct.ts";
import { allReduceDoubling } from "./all-reduce-doubling.ts";
import { allReduceHalving } from "./all-reduce-halving.ts";
import { allReduceOwnerDirect } from "./all-reduce-owner-direct.ts";
import { allReduceRing } from "./all-reduce-ring.ts";
import { allToAll } from "./all-to-all.ts";
import { barrier } from "./barrier.ts";
import { broadcastBinomial } from "./broadcast-binomial.ts";
import { broadcastDirect } from "./broadcast-direct.ts";
import { broadcastScatterAllGather } from "./broadcast-scatter-all-gather.ts";
import { gather } from "./gather.ts";
import { reduceBinomial } from "./reduce-binomial.ts";
import { reduceDirect } from "./reduce-direct.ts";
import { reduceScatterDirect } from "./reduce-scatter-direct.ts";
import { reduceOwnerDirect, reduceScatterGather } from "./reduce-scatter-gather.ts";
import { reduceScatterRing } from "./reduce-scatter-ring.ts";
import { scan } from "./scan.ts";
import { scatter } from "./scatter.ts";

/** Ranks that wait for few others take fewer steps than in a ring, in which each waits for the scheduler; measured with two and four. */
const fewSockets = { links: ["websocket"], maxRanks: FEW_RANKS } as const;

const direct: Row<"allReduce"> = {
  ...perPeer,
  algorithm: "direct",
  run: allReduceDirect,
  ownerComputes: false,
  rankOrder: true,
};
const doubling: Row<"allReduce"> = {
  ...one,
  algorithm: "doubling",
  run: allReduceDoubling,
  ownerComputes: false,
  rankOrder: false,
};
const ownerDirect: Row<"allReduce"> = { ...exact, ...perPeer, algorithm: "owner-direct", run: allReduceOwnerDirect };
const halving: Row<"allReduce"> = { ...owned, ...one, algorithm: "halving", run: allReduceHalving };
const ring: Row<"allReduce"> = { ...owned, ...two, algorithm: "ring", run: allReduceRing };
const scatterDirect: Row<"reduceScatter"> = { ...exact, ...perPeer, algorithm: "direct", run: reduceScatterDirect };
const gatherDirect: Row<"allGather"> = { ...exact, algorithm: "direct", run: allGatherDirect };
const binomial: Row<"broadcast"> = { ...exact, algorithm: "binomial", run: broadcastBinomial };
const reduceSmall: Row<"reduce"> = { ...exact, ...perPeer, algorithm: "direct", run: reduceDirect };

export const messageRows: Required<Rows> = {
  allReduce: [
    // Two copies of all bytes, but one wait: measured, it gives way to owner-direct between 256 KiB and 1 MiB.
    { ...direct, links: ["mapped-memory", "shared-file"], maxBytes: 256 * KIB, maxRanks: 2 },
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
    { ...scatterDirect, maxBytes: 1024 * KIB },
    { ...scatterDirect, ...fewSockets },
    { ...scatterDirect, links: ["hub"] },
    { ...owned, ...two, algorithm: "ring", run: reduceScatterRing },
    scatterDirect,
  ],
  allGather: [
    { ...gatherDirect, maxBytes: 1024 * KIB, maxRanks: 8 },
    { ...gatherDirect, ...fewSockets },
    { ...exact, algorithm: "doubling", run: allGatherDoubling, maxBytes: 64 * KIB },
    { ...gatherDirect, links: ["hub"] },
    { ...exact, algorithm: "ring", run: allGatherRing },
  ],
  broadcast: [
    // Measured between ranks of one host. Of ranks on hosts of their own the root would send twice as much as by the last row.
    { ...exact, ...fewSockets, algorithm: "direct", run: broadcastDirect, maxBytes: 8192 * KIB },
    { ...binomial, maxBytes: 512 * KIB },
    { ...binomial, maxRanks: 2 },
    { ...exact, algorithm: "scatter-all-gather", run: broadcastScatterAllGather },
  ],
  reduce: [
    { ...reduceSmall, maxBytes: 8 * KIB, maxRanks: 8 },
    { ...owned, ...two, algorithm: "binomial", run: reduceBinomial, maxBytes: 256 * KIB },
    { ...owned, algorithm: "reduce-scatter-gather", run: reduceScatterGather, scratch: () => 3 },
    { ...reduceSmall, maxBytes: 256 * KIB },
    { ...exact, algorithm: "owner-direct", run: reduceOwnerDirect, scratch: (size) => size },
  ],
  gather: [{ ...exact, algorithm: "linear", run: gather }],
  scatter: [{ ...exact, algorithm: "linear", run: scatter }],
  allToAll: [{ ...exact, algorithm: "pairwise", run: allToAll }],
  barrier: [{ ...exact, algorithm: "dissemination", run: barrier }],
  scan: [{ ...exact, ...one, algorithm: "chain", run: scan }],
};
