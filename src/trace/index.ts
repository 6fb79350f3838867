/**
 * The entry `webccl/trace`: what the dumps of a job's ranks show. `group.dumpTrace()` makes a dump, the command
 * `webccl trace` reads its files.
 * @module
 */
export type { TraceDump, TraceEntry, TraceError, TraceGroup, TraceTensors } from "../group/trace/dump.ts";
export type { CollectiveStats, GroupStats, PeerStats } from "../group/trace/stats.ts";
export { type ChromeEvent, type ChromeTrace, clockOffsets, toChromeTrace } from "./chrome.ts";
export { type Member, type MergedGroup, mergeDumps, type Trace } from "./merge.ts";
export { parseDump } from "./parse.ts";
export { toTorchPickles } from "./torch.ts";
export { type Verdict, type VerdictKind, verdictOf } from "./verdict.ts";
