/** Choice of a backend: what `initProcessGroup`, `newGroup` and `split` take of one. */
import { checkOptions, type OptionNames } from "../option-checks.ts";
import type { BackendContext, OwnBackend } from "./backend.ts";
import type { NcclConfig } from "./nccl/library.ts";

/** Who runs the collectives of a group. */
export type BackendChoice = "auto" | "webgpu" | "cpu" | "nccl" | ((context: BackendContext) => OwnBackend);

const BACKENDS: readonly unknown[] = ["auto", "webgpu", "cpu", "nccl"];

/** @throws RangeError if `backend` is not one of the choices. */
export function checkBackend(backend: BackendChoice): void {
  if (typeof backend === "function" || BACKENDS.includes(backend)) return;
  throw new RangeError(`backend is ${JSON.stringify(backend)}: use ${BACKENDS.join(", ")} or a function`);
}

/** How NCCL's communicators are made. */
export interface NcclOptions {
  /** The streams of collectives go before others' on the device. Default: false. */
  isHighPriorityStream?: boolean;
  /** Settings of NCCL's `ncclConfig_t`, by NCCL's names. Default: NCCL's own. */
  config?: NcclConfig;
}

const NCCL_CONFIG: OptionNames<NcclConfig> = {
  ...{ blocking: true, cgaClusterSize: true, minCtas: true, maxCtas: true, netName: true, splitShare: true },
};
const NCCL_OPTIONS: OptionNames<NcclOptions> = { isHighPriorityStream: true, config: true };

/** A copy of `options`, which belong to the function `where`. */
export function ncclOptionsOf(where: string, options: NcclOptions = {}): NcclOptions {
  checkOptions(`${where}: ncclOptions`, NCCL_OPTIONS, options);
  const { config } = options;
  if (config === undefined) return { ...options };
  checkOptions(`${where}: ncclOptions.config`, NCCL_CONFIG, config);
  return { ...options, config: { ...config } };
}
