/** What a test asks of a rank in any runtime, and what it gets. */
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import type { CaseFilter } from "../../src/testing/index.ts";
import type { DataType } from "../../src/types.ts";

/** What a rank does with its group. */
export type Task =
  /** One allReduce of 100,000 f32. */
  | { name: "sum" }
  /** Cases of the conformance suite, on host arrays or on GPUBuffers. */
  | { name: "conformance"; cases: CaseFilter; memory: "host" | "gpu" }
  /** `times` allReduces of `bytes`, with `algorithm` if it is given. */
  | { name: "allReduce"; dtype: DataType; bytes: number; times: number; algorithm?: string };

/** A page compares an allReduce at the hub with its bare WebSocket: S up to a server and S down, in turns. */
export interface RawJob {
  raw: { url: string; bytes: number; times: number };
  options: Job["options"];
}

/** Milliseconds of each turn. */
export interface RawOutcome {
  rawMs: number[];
  hubMs: number[];
}

export interface Job {
  task: Task;
  options: Omit<InitOptions, "store" | "backend" | "signal" | "logger"> & { backend?: "webgpu" | "cpu" };
  /** In a worker of the page. */
  inWorker?: boolean;
}

/** The task's result and the place it ran in, or the error in words. */
export type Outcome =
  | { error: string }
  | {
      rank: number;
      runtime: string;
      executor: string;
      gpu: string | null;
      isolated: boolean;
      shares: boolean;
      [key: string]: unknown;
    };
