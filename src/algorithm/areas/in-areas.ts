/** The algorithms over shared areas, together: they are loaded with them. */
export { allGatherAreas } from "./all-gather.ts";
export { allReduceAreas } from "./all-reduce.ts";
export { allReduceAreasDirect } from "./all-reduce-direct.ts";
export { barrierAreas } from "./barrier.ts";
export { broadcastAreas } from "./broadcast.ts";
export { reduceAreas } from "./reduce.ts";
export { reduceScatterAreas } from "./reduce-scatter.ts";
