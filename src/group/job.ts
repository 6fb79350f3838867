/** Job: what the groups of one bring-up have in common on one rank, as a group sees it. `bring-up/job.ts` makes it. */

import type { Backend, BackendContext, OwnBackend } from "../backend/backend.ts";
import type { BackendChoice, NcclOptions } from "../backend/choice.ts";
import type { WitnessChannel } from "../backend/composed/witness.ts";
import type { WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import type { Store } from "../store/store.ts";
import type { Deadlines } from "../support/deadlines.ts";
import type { DataType, GpuDeviceLike, HostTensorOf } from "../types.ts";
import type { Claims } from "./claims.ts";
import type { GroupInfo } from "./info.ts";
import type { Recorder } from "./trace/recorder.ts";

/** Which ranks a group has, and which of them this one is. */
export interface Membership {
  readonly name: string;
  /** This rank in the group. */
  readonly rank: number;
  /** Ranks of the job, in the group's order. */
  readonly globalRanks: readonly number[];
  /** Milliseconds for each call that names none. */
  readonly timeoutMs: number;
  /** Of the job, when the group was made. */
  readonly epoch: number;
}

/** How a group asks for the epoch after its own. */
export interface EpochRequest {
  /** How long members are waited for, in milliseconds. */
  readonly timeoutMs: number;
  /** Why the group is dead, or null. */
  dead(): WebcclError | null;
}

/** The group of all members of the next epoch. */
export type NextEpoch = Pick<Membership, "epoch" | "globalRanks" | "rank">;

/** What a hook of `onMembership` is told. */
export type MembershipEvent =
  /** `rank` of the group was lost, or left in order. */
  | { readonly type: "lost" | "left"; readonly rank: number; readonly reason: string }
  /** A rank waits to be let in by `admit`; `seat` is to be its number in `globalRanks`. */
  | { readonly type: "waiting"; readonly seat: number };

/** How the members of a job change. */
export interface JobMembership {
  /** @throws UnsupportedError if `group` is not the group of all ranks, for which alone `kind` is. */
  expectWhole(group: MemberGroup, kind: string): void;
  /**
   * The next epoch; null if an admit found that nobody waits.
   * @throws AdmissionError if this rank may not go on; TimeoutError if an admit misses a rank, or the store does not answer.
   */
  change(kind: "shrink" | "admit", request: EpochRequest): Promise<NextEpoch | null>;
  /** The job ends on this rank, which comes to no group any more. */
  leave(): Promise<void>;
  /** Calls `hook` until `group` is replaced or destroyed. */
  watch(group: MemberGroup, hook: (event: MembershipEvent) => void): void;
}

/** A group, as its job sees it. */
export interface MemberGroup extends Membership {
  abort(cause: WebcclError): void;
  destroy(): Promise<void>;
}

/** What holds for every call that says nothing else. */
export interface JobSettings {
  readonly deterministic: boolean;
  readonly algorithm: string | undefined;
  readonly logger: Logger;
  /** The GPUDevice that `initProcessGroup` was given. */
  readonly device?: GpuDeviceLike | undefined;
}

/** How the backend of a group is made. */
export interface BackendSettings {
  /** Default: the job's. */
  readonly backend?: BackendChoice | undefined;
  readonly ncclOptions?: NcclOptions | undefined;
  /** The number of the call that registers it; none for a group's first. */
  readonly registeredBy?: number | undefined;
}

/** Makes a backend, which is checked and watched where that is wanted. */
export type MakeBackend = (make: (context: BackendContext) => OwnBackend, context: BackendContext) => Backend;

/** One job on one rank. The first group spans it; destroying that one ends the job. */
export interface Job {
  readonly settings: JobSettings;
  readonly deadlines: Deadlines;
  readonly claims: Claims;
  readonly recorder: Recorder;
  /** The names of all groups that this rank knows, those that are gone among them. */
  readonly groupNames: Set<string>;
  /** The GPUDevice whose buffers this rank's calls take, or null. */
  readonly device: GpuDeviceLike | null;
  /** A host tensor that this rank's executor reduces without copying it first. */
  alloc<D extends DataType>(dtype: D, count: number): HostTensorOf[D];
  /** The group's own part of the store at which the job met. */
  storeOf(group: Membership): Store;
  /**
   * The kind of such a backend, which all ranks of a group have in common.
   * @throws UnsupportedError if this rank cannot have it.
   */
  kindOf(settings: BackendSettings): string;
  /** Loads what {@link createBackend} needs: for a user's own backend, and where calls are watched; null if that is nothing. */
  loadBackend(settings: BackendSettings): Promise<MakeBackend | null>;
  /** The backend of a group; it calls `onDead` when the group cannot go on. */
  createBackend(
    group: Membership,
    settings: BackendSettings,
    loaded: MakeBackend | null,
    onDead: (cause: WebcclError) => void,
  ): Backend;
  /** A channel of the group's own beside those of its backends, of this purpose; it calls `onDead` when the group cannot go on. */
  openChannel(group: Membership, purpose: string, onDead: (cause: WebcclError) => void): WitnessChannel;
  /** The one cause of which `group` dies on all its ranks, where it cannot go on here for `cause`. */
  agreeOnCause(group: Membership, cause: WebcclError): Promise<WebcclError>;
  describe(group: Membership, backendName: string): GroupInfo;
  /** Loaded when it is first asked for. */
  membership(): Promise<JobMembership>;
  onGroupCreated(group: MemberGroup): void;
  /** This rank has left `group`, which had died before if `wasDead`. */
  onGroupDestroyed(group: MemberGroup, wasDead: boolean): Promise<void>;
}
