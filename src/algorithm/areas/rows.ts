/** The algorithms of ranks that have areas. They stand in front of all others. */
import { exact, KIB, type Row, type Rows } from "../rows.ts";
import { allGatherAreas } from "./all-gather.ts";
import { allReduceAreas } from "./all-reduce.ts";
import { allReduceAreasDirect } from "./all-reduce-direct.ts";
import { barrierAreas } from "./barrier.ts";
import { broadcastAreas } from "./broadcast.ts";
import { reduceAreas } from "./reduce.ts";
import { reduceScatterAreas } from "./reduce-scatter.ts";

const inRegion = { ...exact, algorithm: "areas", needs: "region" } as const;
const direct: Row<"allReduce"> = {
  ...inRegion,
  algorithm: "areas-direct",
  run: allReduceAreasDirect,
  ownerComputes: false,
};

export const areasRows: Rows = {
  allReduce: [
    { ...direct, maxBytes: 512 * KIB, maxRanks: 2 },
    { ...direct, maxBytes: 128 * KIB, maxRanks: 4 },
    { ...direct, maxBytes: 8 * KIB },
    { ...inRegion, run: allReduceAreas },
  ],
  reduceScatter: [{ ...inRegion, run: reduceScatterAreas }],
  allGather: [{ ...inRegion, run: allGatherAreas }],
  broadcast: [{ ...inRegion, run: broadcastAreas }],
  reduce: [{ ...inRegion, run: reduceAreas }],
  barrier: [{ ...inRegion, run: barrierAreas }],
};
