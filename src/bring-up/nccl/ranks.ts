/** Which ranks of a job are on NCCL, and what a group of them makes of it. Loaded where a rank of the job has CUDA devices. */

import type { NcclAbilities } from "../../backend/nccl/library.ts";
import type { Settings } from "../init-options.ts";
import { clustersOf, slowestLink } from "../linking.ts";
import type { RosterEntry } from "../roster.ts";
import type { JobNccl, NcclHere, NcclMembers, NcclUse } from "./contract.ts";

/** The ranks of one job, the same on every rank. */
export class NcclRanks implements NcclMembers {
  /** The CUDA device of each rank on NCCL. */
  readonly devices: readonly (number | null)[];
  /** Why some rank is not on it, or null. */
  readonly objection: string | null;
  /** What NCCL can do on all ranks that have it. */
  readonly abilities: NcclAbilities;
  readonly #roster: readonly RosterEntry[];

  constructor(roster: readonly RosterEntry[]) {
    const places = assignDevices(roster);
    this.devices = places.map((place) => (typeof place === "number" ? place : null));
    this.objection = places.find((place) => typeof place === "string") ?? null;
    const offers = roster.flatMap(({ cuda }) => ("missing" in cuda ? [] : [cuda.abilities]));
    this.abilities = {
      premulSum: offers.every(({ premulSum }) => premulSum),
      float8: offers.every(({ float8 }) => float8),
    };
    this.#roster = roster;
  }

  /** What a group of these ranks of the job makes of NCCL. */
  use(globalRanks: readonly number[]): NcclUse {
    const members = globalRanks.flatMap((member) => this.#roster[member] ?? []);
    const devices = globalRanks.map((member) => this.devices[member] ?? null);
    const linked = clustersOf(members);
    if (devices.every((device) => device !== null)) return { whole: true, clusters: linked, devices };
    const none = devices.map(() => null);
    // Without a hub between them the ranks have faster ways than over one of them.
    if (slowestLink(members) !== "hub") return { whole: false, clusters: linked, devices: none };
    const takesPart = (cluster: readonly number[]) =>
      cluster.filter((rank) => devices[rank] !== null && cluster.some((r) => r !== rank && devices[r] !== null));
    const clusters = linked.flatMap((cluster) => {
      const onNccl = takesPart(cluster);
      return [onNccl, cluster.filter((rank) => !onNccl.includes(rank))].filter(({ length }) => length > 0);
    });
    clusters.sort(([a = 0], [b = 0]) => a - b);
    const taking = linked.flatMap(takesPart);
    return {
      whole: false,
      clusters,
      devices: devices.map((device, rank) => (taking.includes(rank) ? device : null)),
    };
  }
}

/** What a job in which some rank has CUDA devices makes of NCCL, on this rank. */
export async function agree(
  { found }: NcclHere,
  roster: readonly RosterEntry[],
  rank: number,
  settings: Settings,
): Promise<JobNccl> {
  const ranks = new NcclRanks(roster);
  if (!found) return { choice: null, ranks, reason: ranks.objection ?? "" };
  const { chooseNccl } = await import("./choice.ts");
  return { ranks, ...chooseNccl(found, ranks, rank, settings) };
}

/**
 * The device of each rank on NCCL, or why it is not on it. On one host each rank takes, in rank order, the first of the
 * devices it sees that no rank before it has taken.
 */
function assignDevices(roster: readonly RosterEntry[]): (number | string)[] {
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
