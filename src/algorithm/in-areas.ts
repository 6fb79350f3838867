/** The algorithms over shared areas, together: they are loaded with them. */
export { allGatherAreas } from "./all-gather-areas.ts";
export { allReduceAreas } from "./all-reduce-areas.ts";
export { allReduceAreasDirect } from "./all-reduce-areas-direct.ts";
export { barrierAreas } from "./barrier-areas.ts";
export { broadcastAreas } from "./broadcast-areas.ts";
export { reduceAreas } from "./reduce-areas.ts";
export { reduceScatterAreas } from "./reduce-scatter-areas.ts";
