/** What a test asks of a page, and what it gets. */
import type { InitOptions } from "../../../src/init-options.ts";
import type { CaseFilter } from "../../../src/testing/index.ts";

export interface Job {
  task: "sum" | "conformance";
  options: Pick<
    InitOptions,
    "initMethod" | "rank" | "worldSize" | "token" | "timeoutMs" | "groupName" | "deterministic" | "algorithm"
  >;
  inWorker?: boolean;
  cases?: CaseFilter;
}

/** The task's result and the place it ran in, or the error in words. */
export type Outcome =
  | { error: string }
  | { executor: string; isolated: boolean; shares: boolean; [key: string]: unknown };
