/** Job: what the groups of one bring-up have in common on one rank, as a group sees it. `bring-up/job.ts` makes it. */
import type { Backend, BackendContext, OwnBackend } from "../backend/backend.ts";
import type { BackendChoice, NcclOptions } from "../backend/choice.ts";
import type { WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import type { Store } from "../store/store.ts";
import type { Deadlines } from "../support/deadlines.ts";
import type { DataType, HostTensorOf } from "../types.ts";
import type { Claims } from "./claims.ts";
import type { GroupInfo } from "./info.ts";

/** Which ranks a group has, and which of them this one is. */
export interface Membership {
  readonly name: string;
  /** This rank in the group. */
  readonly rank: number;
  /** Ranks of the job, in the group's order. */
  readonly globalRanks: readonly number[];
  /** Milliseconds for each call that names none. */
  readonly timeoutMs: number;
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
  readonly device?: GPUDevice | undefined;
}

/** How the backend of a group is made. */
export interface BackendSettings {
  /** Default: the job's. */
  readonly backend?: BackendChoice | undefined;
  readonly ncclOptions?: NcclOptions | undefined;
}

/** Makes a backend, which is checked and watched where that is wanted. */
export type MakeBackend = (make: (context: BackendContext) => OwnBackend, context: BackendContext) => Backend;

/** One job on one rank. The first group spans it; destroying that one ends the job. */
export interface Job {
  readonly settings: JobSettings;
  readonly deadlines: Deadlines;
  readonly claims: Claims;
  /** The names of all groups that this rank knows, those that are gone among them. */
  readonly groupNames: Set<string>;
  /** The GPUDevice whose buffers this rank's calls take, or null. */
  readonly device: GPUDevice | null;
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
  describe(group: Membership, backendName: string): GroupInfo;
  onGroupCreated(group: MemberGroup): void;
  /** This rank has left `group`, which had died before if `wasDead`. */
  onGroupDestroyed(group: MemberGroup, wasDead: boolean): Promise<void>;
}
