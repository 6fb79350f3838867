/**
 * The algorithms of ranks that are connected to a hub. On links through a hub every message takes the same two hops, so the
 * fewest steps are best, and a tensor that the hub folds or copies goes up only once.
 */
import { exact, KIB, owned, perPeer, type Rows } from "../rows.ts";
import { allReduceHub, allReduceTwoLevel } from "./all-reduce.ts";
import { allGatherHub, barrierHub, broadcastHub, reduceHub } from "./copies.ts";

/** Of two ranks each sends and receives as much without a hub's help. */
const atHub = { ...exact, algorithm: "hub", needs: "hub", links: ["hub"], minRanks: 3 } as const;
const twoLevel = { ...owned, ...perPeer, needs: "hub and clusters", links: ["hub"], minRanks: 3 } as const;

export const hubRows: Rows = {
  allReduce: [
    { ...twoLevel, algorithm: "two-level", run: allReduceTwoLevel },
    { ...atHub, run: allReduceHub },
  ],
  allGather: [{ ...atHub, run: allGatherHub, minBytes: 4 * KIB }],
  broadcast: [{ ...atHub, run: broadcastHub }],
  reduce: [{ ...atHub, run: reduceHub }],
  barrier: [{ ...atHub, run: barrierHub }],
};
