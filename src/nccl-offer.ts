/**
 * Who can run on NCCL: what each rank says of its CUDA devices at bring-up, and what all ranks make of it alike.
 */
import type { NcclConfig, NcclLibrary } from "./backend/nccl-library.ts";
import { UnsupportedError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { Platform } from "./platform.ts";
import type { CudaOffer, RosterEntry } from "./roster.ts";

/** The backend's code, which is loaded only where the library is: a browser never loads it. */
type NcclModule = typeof import("./backend/nccl.ts");

/** NCCL for a job on this rank. */
export interface NcclChoice {
  readonly library: NcclLibrary;
  readonly version: number;
  readonly backend: NcclModule;
  readonly device: number;
  readonly isHighPriorityStream: boolean;
  readonly config: NcclConfig;
}

/** NCCL as this rank has it, and what it tells the others. */
export interface NcclHere {
  readonly found: { library: NcclLibrary; version: number; backend: NcclModule } | null;
  readonly offer: CudaOffer;
}

/**
 * Opens NCCL if the settings may want it.
 * @throws UnsupportedError if they name it and it is not there.
 */
export async function openNccl(
  platform: Platform,
  { backend, makeBackend, deterministic }: Settings,
  load: (() => Promise<NcclLibrary>) | undefined,
): Promise<NcclHere> {
  const without = (missing: string): NcclHere => ({ found: null, offer: { missing } });
  if (makeBackend) return without("it has a backend of its own");
  if (backend !== "nccl" && backend !== "auto") return without(`its backend is "${backend}"`);
  if (deterministic) return without("deterministic is true, and NCCL's order is its own");
  try {
    const library = await (load ?? platform.loadNccl)();
    const { version, devices } = await library.load();
    const found = { library, version, backend: await import("./backend/nccl.ts") };
    return { found, offer: { version, devices: devices.map(({ uuid }) => uuid) } };
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    if (backend === "nccl") {
      throw new UnsupportedError(`backend "nccl" cannot be used here: ${text}`, { cause });
    }
    return without(text);
  }
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
  { found }: NcclHere,
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
    nccl: { ...found!, device, isHighPriorityStream, config },
    reason: `every rank has a CUDA device; this one's is device ${device}`,
  };
}
