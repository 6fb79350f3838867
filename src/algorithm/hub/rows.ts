/**
 * The algorithms of ranks that are connected to a hub. On links through a hub every message takes the same two hops, so the
 * fewest steps are best, and a tensor that the hub folds or copies goes up only once.
 */
import { exact, KIB, later, owned, perPeer, type Rows } from "../rows.ts";

/** Of two ranks each sends and receives as much without a hub's help. */
const atHub = { ...exact, algorithm: "hub", needs: "hub", links: ["hub"], minRanks: 3 } as const;
const twoLevel = { ...owned, ...perPeer, needs: "hub and clusters", links: ["hub"], minRanks: 3 } as const;

export const hubRows: Rows = {
  allReduce: [
    {
      ...twoLevel,
      algorithm: "two-level",
      run: later(() => import("./all-reduce.ts"), "allReduceTwoLevel"),
    },
    { ...atHub, run: later(() => import("./all-reduce.ts"), "allReduceHub") },
  ],
  allGather: [{ ...atHub, run: later(() => import("./copies.ts"), "allGatherHub"), minBytes: 4 * KIB }],
  broadcast: [{ ...atHub, run: later(() => import("./copies.ts"), "broadcastHub") }],
  reduce: [{ ...atHub, run: later(() => import("./copies.ts"), "reduceHub") }],
  barrier: [{ ...atHub, run: later(() => import("./copies.ts"), "barrierHub") }],
};
