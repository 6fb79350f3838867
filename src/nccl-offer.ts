/**
 * Who can run on NCCL: what each rank says of its CUDA devices at bring-up, and what all ranks make of it alike.
 */
import type { NcclConfig, NcclLibrary } from "./backend/nccl-library.ts";
import { UnsupportedError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { Platform } from "./platform.ts";
import { type CudaOffer, clustersOf, type RosterEntry, slowestLink } from "./roster.ts";

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
 * The device of each rank on NCCL, or why it is not on it. On one host each rank takes, in rank order, the first of the
 * devices it sees that no rank before it has taken.
 */
export function assignDevices(roster: readonly RosterEntry[]): (number | string)[] {
  const taken = new Set<string>();
  let first: { version: number; rank: number } | null = null;
  return roster.map(({ rank, hostId, cuda }) => {
    if ("missing" in cuda) return `rank ${rank} has no NCCL: ${cuda.missing}`;
    const { version, devices } = cuda;
    first ??= { version, rank };
    if (version !== first.version) {
      return `rank ${first.rank} has NCCL ${first.version} and rank ${rank} has ${version}: all must have the same`;
    }
    const device = devices.findIndex((uuid) => !taken.has(`${hostId} ${uuid}`));
    if (device < 0) {
      return `rank ${rank} has no CUDA device of its own: its host's ${devices.length} have ranks already`;
    }
    taken.add(`${hostId} ${devices[device]}`);
    return device;
  });
}

/**
 * What this rank uses, and why; and the CUDA device of each rank on NCCL, the same on every rank.
 * @throws UnsupportedError if this rank's settings name nccl and some rank cannot.
 */
export function chooseNccl(
  { found }: NcclHere,
  roster: readonly RosterEntry[],
  rank: number,
  { backend, ncclOptions }: Settings,
): { nccl: NcclChoice | null; reason: string; cudaDevices: readonly (number | null)[] } {
  const places = assignDevices(roster);
  const cudaDevices = places.map((place) => (typeof place === "number" ? place : null));
  const objection = places.find((place) => typeof place === "string");
  const device = cudaDevices[rank]!;
  if (objection !== undefined && backend === "nccl") {
    throw new UnsupportedError(`backend "nccl" cannot be used: ${objection}`);
  }
  if (device === null) return { nccl: null, reason: objection!, cudaDevices };
  const { isHighPriorityStream = false, config = {} } = ncclOptions;
  const others = objection === undefined ? "every rank has a CUDA device" : `not every rank is on NCCL: ${objection}`;
  return {
    nccl: { ...found!, device, isHighPriorityStream, config },
    reason: `${others}; this one's is device ${device}`,
    cudaDevices,
  };
}

/** A group's ranks on NCCL, by their places in it. */
export interface NcclUse {
  /** All collectives run on it. */
  readonly whole: boolean;
  /** Else those ranks of a cluster that fold among themselves by it, at least two in each. */
  readonly clusters: readonly (readonly number[])[];
}

/** What a group of these members makes of NCCL; `cudaDevices` are theirs. The same on every rank. */
export function ncclUse(members: readonly RosterEntry[], cudaDevices: readonly (number | null)[]): NcclUse {
  if (cudaDevices.every((device) => device !== null)) return { whole: true, clusters: [] };
  const isOnNccl = (place: number) => cudaDevices[place] !== null;
  // Without a hub between them the ranks have faster ways than over one of them.
  if (slowestLink(members) !== "hub") return { whole: false, clusters: [] };
  return {
    whole: false,
    clusters: clustersOf(members, isOnNccl).filter((own) => own.length > 1 && own.every(isOnNccl)),
  };
}
