/** The algorithms of ranks that address each other's memory. They stand in front of all others. */
import { exact, KIB, type Rows } from "../rows.ts";
import { allGatherPull } from "./all-gather-pull.ts";
import { allReduceLast } from "./all-reduce-last.ts";
import { allReduceOnePass } from "./all-reduce-one-pass.ts";
import { allReduceSlots } from "./all-reduce-slots.ts";
import { barrierStep } from "./barrier-step.ts";
import { broadcastPull } from "./broadcast-pull.ts";
import { reduceOnePass } from "./reduce-one-pass.ts";
import { reduceScatterOnePass } from "./reduce-scatter-one-pass.ts";

const inRegion = { ...exact, needs: "region" } as const;

export const addressableRows: Rows = {
  allReduce: [
    { ...inRegion, algorithm: "slots", run: allReduceSlots, ownerComputes: false, maxBytes: KIB },
    { ...inRegion, algorithm: "last", run: allReduceLast, crowded: true, maxBytes: 512 * KIB },
    { ...inRegion, algorithm: "one-pass", run: allReduceOnePass },
  ],
  reduceScatter: [{ ...inRegion, algorithm: "one-pass", run: reduceScatterOnePass }],
  allGather: [{ ...inRegion, algorithm: "pull", run: allGatherPull }],
  broadcast: [{ ...inRegion, algorithm: "pull", run: broadcastPull }],
  reduce: [{ ...inRegion, algorithm: "one-pass", run: reduceOnePass }],
  barrier: [{ ...inRegion, algorithm: "step", run: barrierStep }],
};
