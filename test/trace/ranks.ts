/** Groups in memory whose ranks leave traces. */
import { onTestFinished } from "vitest";
import { initProcessGroup, type ProcessGroup } from "../../src/node/index.ts";
import { mergeDumps, parseDump, type Trace } from "../../src/trace/index.ts";

let names = 0;

/** `size` ranks of one group, which are destroyed after the test. */
export async function ranksOf(size: number, timeoutMs = 60_000): Promise<ProcessGroup[]> {
  const initMethod = `memory://trace-${names++}`;
  const quiet = () => {};
  const logger = { error: quiet, warn: quiet, info: quiet, debug: quiet };
  const join = (rank: number) => initProcessGroup({ initMethod, rank, worldSize: size, timeoutMs, logger });
  const groups = await Promise.all(Array.from({ length: size }, (_, rank) => join(rank)));
  onTestFinished(async () => {
    await Promise.all(groups.map((group) => group.destroy()));
  });
  return groups;
}

/** The trace of these ranks as it comes from files: through JSON, and checked. */
export async function traceOf(groups: readonly ProcessGroup[]): Promise<Trace> {
  const dumps = await Promise.all(groups.map((group) => group.dumpTrace()));
  return mergeDumps(dumps.map((dump) => parseDump(JSON.parse(JSON.stringify(dump)))));
}

/** Lets calls go as far as they can without the ranks that are missing. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
