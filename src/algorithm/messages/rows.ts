/**
 * The algorithms over messages, which every group can run. In each list a row without limits stands behind the others, and
 * one that is `exact` among them, so that every call finds one. The code of an algorithm is loaded by the first call that it
 * runs: a page needs few of them.
 *
 * The sizes at which one row gives way to the next were measured where docs/notes says so, else reasoned from counts of
 * messages and bytes.
 */

import { exact, KIB, later, one, owned, perPeer, type Row, type Rows, two } from "../rows.ts";
import { FEW_RANKS } from "../segments.ts";

/** Ranks that wait for few others take fewer steps than in a ring, in which each waits for the scheduler; measured with two and four. */
const fewSockets = { links: ["websocket"], maxRanks: FEW_RANKS } as const;

const direct: Row<"allReduce"> = {
  ...perPeer,
  algorithm: "direct",
  run: later(() => import("./all-reduce-direct.ts"), "allReduceDirect"),
  ownerComputes: false,
  rankOrder: true,
};
const doubling: Row<"allReduce"> = {
  ...one,
  algorithm: "doubling",
  run: later(() => import("./all-reduce-doubling.ts"), "allReduceDoubling"),
  ownerComputes: false,
  rankOrder: false,
};
const ownerDirect: Row<"allReduce"> = {
  ...exact,
  ...perPeer,
  algorithm: "owner-direct",
  run: later(() => import("./all-reduce-owner-direct.ts"), "allReduceOwnerDirect"),
};
const halving: Row<"allReduce"> = {
  ...owned,
  ...one,
  algorithm: "halving",
  run: later(() => import("./all-reduce-halving.ts"), "allReduceHalving"),
};
const ring: Row<"allReduce"> = {
  ...owned,
  ...two,
  algorithm: "ring",
  run: later(() => import("./all-reduce-ring.ts"), "allReduceRing"),
};
const scatterDirect: Row<"reduceScatter"> = {
  ...exact,
  ...perPeer,
  algorithm: "direct",
  run: later(() => import("./reduce-scatter-direct.ts"), "reduceScatterDirect"),
};
const gatherDirect: Row<"allGather"> = {
  ...exact,
  algorithm: "direct",
  run: later(() => import("./all-gather-direct.ts"), "allGatherDirect"),
};
const binomial: Row<"broadcast"> = {
  ...exact,
  algorithm: "binomial",
  run: later(() => import("./broadcast-binomial.ts"), "broadcastBinomial"),
};
const reduceSmall: Row<"reduce"> = {
  ...exact,
  ...perPeer,
  algorithm: "direct",
  run: later(() => import("./reduce-direct.ts"), "reduceDirect"),
};

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
    {
      ...owned,
      ...two,
      algorithm: "ring",
      run: later(() => import("./reduce-scatter-ring.ts"), "reduceScatterRing"),
    },
    scatterDirect,
  ],
  allGather: [
    { ...gatherDirect, maxBytes: 1024 * KIB, maxRanks: 8 },
    { ...gatherDirect, ...fewSockets },
    {
      ...exact,
      algorithm: "doubling",
      run: later(() => import("./all-gather-doubling.ts"), "allGatherDoubling"),
      maxBytes: 64 * KIB,
    },
    { ...gatherDirect, links: ["hub"] },
    { ...exact, algorithm: "ring", run: later(() => import("./all-gather-ring.ts"), "allGatherRing") },
  ],
  broadcast: [
    // Measured between ranks of one host. Of ranks on hosts of their own the root would send twice as much as by the last row.
    {
      ...exact,
      ...fewSockets,
      algorithm: "direct",
      run: later(() => import("./broadcast-direct.ts"), "broadcastDirect"),
      maxBytes: 8192 * KIB,
    },
    { ...binomial, maxBytes: 512 * KIB },
    { ...binomial, maxRanks: 2 },
    {
      ...exact,
      algorithm: "scatter-all-gather",
      run: later(() => import("./broadcast-scatter-all-gather.ts"), "broadcastScatterAllGather"),
    },
  ],
  reduce: [
    { ...reduceSmall, maxBytes: 8 * KIB, maxRanks: 8 },
    {
      ...owned,
      ...two,
      algorithm: "binomial",
      run: later(() => import("./reduce-binomial.ts"), "reduceBinomial"),
      maxBytes: 256 * KIB,
    },
    {
      ...owned,
      algorithm: "reduce-scatter-gather",
      run: later(() => import("./reduce-scatter-gather.ts"), "reduceScatterGather"),
      scratch: () => 3,
    },
    { ...reduceSmall, maxBytes: 256 * KIB },
    {
      ...exact,
      algorithm: "owner-direct",
      run: later(() => import("./reduce-scatter-gather.ts"), "reduceOwnerDirect"),
      scratch: (size) => size,
    },
  ],
  gather: [{ ...exact, algorithm: "linear", run: later(() => import("./gather.ts"), "gather") }],
  scatter: [{ ...exact, algorithm: "linear", run: later(() => import("./scatter.ts"), "scatter") }],
  allToAll: [{ ...exact, algorithm: "pairwise", run: later(() => import("./all-to-all.ts"), "allToAll") }],
  barrier: [{ ...exact, algorithm: "dissemination", run: later(() => import("./barrier.ts"), "barrier") }],
  scan: [{ ...exact, ...one, algorithm: "chain", run: later(() => import("./scan.ts"), "scan") }],
};
