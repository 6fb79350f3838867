/** What a job makes of its ranks' NCCL, alike on every rank. Loaded where this one has it. */
import { NCCL_NOTES, NcclBackend } from "./backend/nccl.ts";
import type { NcclConfig, NcclLibrary } from "./backend/nccl-library.ts";
import { UnsupportedError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { RosterEntry } from "./roster.ts";

/** NCCL for a job on this rank. */
export interface NcclChoice {
  readonly library: NcclLibrary;
  readonly version: number;
  readonly backend: { readonly NcclBackend: typeof NcclBackend; readonly NCCL_NOTES: typeof NCCL_NOTES };
  readonly device: number;
  readonly isHighPriorityStream: boolean;
  readonly config: NcclConfig;
}

/**
 * The device of each rank, or why the job does not run on NCCL. On one host each rank takes, in rank order, the first of
 * the devices it sees that no rank before it has taken.
 */
export function assignDevices(roster: readonly RosterEntry[]): number[] | string {
  const taken = new Set<string>();
  const devices: number[] = [];
  let version: { of: number; rank: number } | null = null;
  for (const { rank, hostId, cuda } of roster) {
    if ("missing" in cuda) return `rank ${rank} has no NCCL: ${cuda.missing}`;
    version ??= { of: cuda.version, rank };
    if (cuda.version !== version.of) {
      return `rank ${version.rank} has NCCL ${version.of} and rank ${rank} has ${cuda.version}: all must have the same`;
    }
    const device = cuda.devices.findIndex((uuid) => !taken.has(`${hostId} ${uuid}`));
    if (device < 0) {
      return `rank ${rank} has no CUDA device of its own: its host's ${cuda.devices.length} have ranks already`;
    }
    taken.add(`${hostId} ${cuda.devices[device]}`);
    devices.push(device);
  }
  return devices;
}

/**
 * What this rank uses, and why; the same kind on every rank.
 * @throws UnsupportedError if this rank's settings name nccl and some rank cannot.
 */
export function chooseNccl(
  { library, version }: { library: NcclLibrary; version: number },
  roster: readonly RosterEntry[],
  rank: number,
  { backend, ncclOptions }: Settings,
): { nccl: NcclChoice | null; reason: string } {
  const devices = assignDevices(roster);
  if (typeof devices === "string") {
    if (backend === "nccl") throw new UnsupportedError(`backend "nccl" cannot be used: ${devices}`);
    return { nccl: null, reason: devices };
  }
  const device = devices[rank]!;
  const { isHighPriorityStream = false, config = {} } = ncclOptions;
  return {
    nccl: { library, version, backend: { NcclBackend, NCCL_NOTES }, device, isHighPriorityStream, config },
    reason: `every rank has a CUDA device; this one's is device ${device}`,
  };
}
