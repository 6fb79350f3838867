/** Groups whose ranks are tasks of this process, over every transport. */
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import type { ConformanceCase } from "../../src/testing/index.ts";
import { freePort } from "../helpers/free-port.ts";
import { judge, runCases } from "./run-cases.ts";

/** How the ranks of a test are joined; "hub" relays everything. */
export type TestTransport = "memory" | "mapped-memory" | "shared-file" | "websocket" | "hub";
export const TEST_TRANSPORTS: readonly TestTransport[] = ["memory", "mapped-memory", "shared-file", "websocket", "hub"];

type InitOptions = NonNullable<Parameters<typeof initProcessGroup>[0]>;

/** What one rank does. */
export type RankTask<T> = (group: ProcessGroup, rank: number) => Promise<T>;

let memoryGroups = 0;

/** An initMethod that no other group has. */
export async function initMethodOf(transport: TestTransport): Promise<string> {
  if (transport === "memory") return `memory://test-${process.pid}-${memoryGroups++}`;
  return `tcp://127.0.0.1:${await freePort()}`;
}

/**
 * Runs `task` on every rank of a new group and gives back what each returned, by rank. When one throws, the others are
 * aborted and its error is thrown.
 */
export async function withGroup<T>(
  transport: TestTransport,
  size: number,
  task: RankTask<T>,
  options: InitOptions = {},
): Promise<T[]> {
  const initMethod = await initMethodOf(transport);
  const failures: unknown[] = [];
  const runRank = async (rank: number): Promise<T | undefined> => {
    const defaults = { initMethod, rank, worldSize: size, transport, backend: "cpu", timeoutMs: 25_000 } as const;
    let group: ProcessGroup | null = null;
    try {
      group = await initProcessGroup({ ...defaults, ...options });
      const result = await task(group, rank);
      await group.destroy();
      return result;
    } catch (error) {
      failures.push(error);
      group?.abort(String(error));
      return undefined;
    }
  };
  const results = await Promise.all(Array.from({ length: size }, (_, rank) => runRank(rank)));
  if (failures.length > 0) throw failures[0];
  return results as T[];
}

/** {@link withGroup} over memory. */
export function withMemoryGroups<T>(size: number, task: RankTask<T>, options: InitOptions = {}): Promise<T[]> {
  return withGroup("memory", size, task, options);
}

/**
 * Runs the cases on a new group, and gives back how many ran.
 * @throws Error that lists wrong results, if there are any, and cases whose results were not equal on all ranks.
 */
export async function checkCases(
  transport: TestTransport,
  size: number,
  cases: readonly ConformanceCase[],
  options: InitOptions = {},
): Promise<number> {
  const reports = await withGroup(transport, size, (group) => runCases(group, cases), options);
  return judge(reports, cases);
}
