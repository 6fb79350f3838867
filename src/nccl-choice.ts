/** What this rank does on NCCL. Loaded where it has it. */
import * as backend from "./backend/nccl.ts";
import type { NcclConfig, NcclLibrary } from "./backend/nccl-library.ts";
import { UnsupportedError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { NcclRanks } from "./nccl-ranks.ts";

/** NCCL for a job on this rank. */
export interface NcclChoice {
  readonly library: NcclLibrary;
  readonly version: number;
  readonly backend: typeof backend;
  readonly device: number;
  readonly isHighPriorityStream: boolean;
  readonly config: NcclConfig;
}

/**
 * What this rank uses, and why.
 * @throws UnsupportedError if this rank's settings name nccl and some rank cannot.
 */
export function chooseNccl(
  { library, version }: { library: NcclLibrary; version: number },
  { devices, objection }: NcclRanks,
  rank: number,
  { backend: wanted, ncclOptions }: Settings,
): { nccl: NcclChoice | null; reason: string } {
  const device = devices[rank]!;
  if (objection !== null && wanted === "nccl") {
    throw new UnsupportedError(`backend "nccl" cannot be used: ${objection}`);
  }
  if (device === null) return { nccl: null, reason: objection! };
  const { isHighPriorityStream = false, config = {} } = ncclOptions;
  const others = objection === null ? "every rank has a CUDA device" : `not every rank is on NCCL: ${objection}`;
  return {
    nccl: { library, version, backend, device, isHighPriorityStream, config },
    reason: `${others}; this one's is device ${device}`,
  };
}
