/** The algorithms over a shared region, together: they are loaded with it. */
export { allGatherPull } from "./all-gather-pull.ts";
export { allReduceLast } from "./all-reduce-last.ts";
export { allReduceOnePass } from "./all-reduce-one-pass.ts";
export { allReduceSlots } from "./all-reduce-slots.ts";
export { barrierStep } from "./barrier-step.ts";
export { broadcastPull } from "./broadcast-pull.ts";
export { reduceOnePass } from "./reduce-one-pass.ts";
export { reduceScatterOnePass } from "./reduce-scatter-one-pass.ts";
