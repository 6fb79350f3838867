/** What the parts of NCCL at bring-up tell each other, and the job. */
import type { Backend } from "../../backend/backend.ts";
import type { NcclOptions } from "../../backend/choice.ts";
import type { ClusterReduction } from "../../backend/direct/direct.ts";
import type { NcclAbilities, NcclLibrary } from "../../backend/nccl/library.ts";
import type { WebcclError } from "../../errors.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { Store } from "../../store/store.ts";
import type { CudaOffer } from "../roster.ts";

/** NCCL as this rank has it, and what it tells the others. */
export interface NcclHere {
  readonly found: NcclLibrary | null;
  readonly offer: CudaOffer;
}

/** The ranks of a job that are on NCCL. */
export interface NcclMembers {
  /** The CUDA device of each rank on NCCL. */
  readonly devices: readonly (number | null)[];
  /** Why some rank is not on it, or null. */
  readonly objection: string | null;
  /** What NCCL can do on all ranks that have it. */
  readonly abilities: NcclAbilities;
  /** What a group of these ranks of the job makes of NCCL. */
  use(globalRanks: readonly number[]): NcclUse;
}

/** What a group makes of NCCL. Ranks are the group's. */
export interface NcclUse {
  /** All collectives run on it. */
  readonly whole: boolean;
  /** The group in sets whose ranks are all linked directly, and of which either all are on NCCL or none. */
  readonly clusters: readonly (readonly number[])[];
  /** The CUDA device of each rank that takes part, as one of all or of two or more in a cluster; else null. */
  readonly devices: readonly (number | null)[];
}

/** NCCL for a job on this rank. */
export interface NcclChoice {
  /** This rank's part in a group. */
  join(
    use: NcclUse,
    group: { channel: Channel; store: Store; segmentBytes: number; ncclOptions?: NcclOptions | undefined },
  ): NcclPart;
  /** What `info()` says of a group. */
  notes(use: NcclUse): readonly string[];
}

/** This rank's part in one group. */
export interface NcclPart {
  /** What it has with others of its cluster; null in a group that is on NCCL as a whole, or not at all. */
  readonly cluster: ClusterReduction | null;
  /** The group's backend, over the direct one. */
  backend(direct: Backend): Backend;
  /** The group is dead. */
  die(cause: WebcclError): void;
}

/** What a job makes of NCCL, on one rank. */
export interface JobNccl {
  /** NCCL, if this rank is on it. */
  readonly choice: NcclChoice | null;
  /** Which ranks of the job are on it; null if none. */
  readonly ranks: NcclMembers | null;
  /** Why this rank is on it, or why not. */
  readonly reason: string;
}
