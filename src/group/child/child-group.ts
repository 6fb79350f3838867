/** Child groups: the settings of a group that is made of ranks of another one. */

import { type BackendChoice, checkBackend, type NcclOptions, ncclOptionsOf } from "../../backend/choice.ts";
import type { OptionNames } from "../../option-checks.ts";
import type { GpuDeviceLike } from "../../types.ts";
import { checkGroupName } from "../../wire/handshake.ts";
import type { BackendSettings, Job, Membership } from "../job.ts";

/** Options of `newGroup` and `split`. */
export interface NewGroupOptions {
  /** The group's name, which no group of the job has had. Default: made of the parent's name and the call's number. */
  name?: string;
  /** Tells people what the group is for. Default: its name. */
  description?: string;
  /** Milliseconds for making the group, and for each call of it that names none. Default: the parent's. */
  timeoutMs?: number;
  /** As of `initProcessGroup`: of the same kind on every rank. "webgpu" and "nccl" need what the job has already. Default: the parent's. */
  backend?: BackendChoice;
  /** How NCCL's communicators of this group are made. Default: the parent's. */
  ncclOptions?: NcclOptions;
  /** The device to which the group is bound: this rank's `group.device`, which the job has already. Default: the parent's. */
  device?: GpuDeviceLike;
}

export const NEW_GROUP_OPTIONS: OptionNames<NewGroupOptions> = {
  ...{ name: true, description: true, timeoutMs: true, backend: true, ncclOptions: true, device: true },
};

/** What a child's options come to on this rank. */
export interface ChildSettings {
  name: string;
  description: string;
  timeoutMs: number;
  readonly backend: BackendSettings;
  /** The kind of its backend, which all its ranks have in common. */
  readonly kind: string;
}

/** A group to be made of these ranks of its parent, in this order. */
export interface ChildPlan extends ChildSettings {
  ranks: readonly number[];
}

/**
 * The settings of a child group.
 * @throws TypeError if the name or the description is no string; RangeError if the name is empty, too long or not well-formed,
 * or if the job has or had a group of that name.
 */
export function settingsOfChild(
  parent: Membership,
  job: Job,
  defaultName: string,
  { name = defaultName, description = name, timeoutMs = parent.timeoutMs, ...options }: NewGroupOptions,
  inherited: BackendSettings,
): ChildSettings {
  const { backend, ncclOptions, device } = options;
  if (name !== defaultName) checkGroupName(name, "name");
  if (typeof description !== "string") throw new TypeError(`description must be a string, got ${typeof description}`);
  if (job.groupNames.has(name)) {
    throw new RangeError(`name is "${name}", which this job has or had`);
  }
  if (backend !== undefined) checkBackend(backend);
  if (device !== undefined && device !== job.device) {
    throw new TypeError("device is not this rank's group.device: pass it to initProcessGroup, which opens it");
  }
  const settings = {
    backend: backend ?? inherited.backend,
    ncclOptions: ncclOptions ? ncclOptionsOf("newGroup", ncclOptions) : inherited.ncclOptions,
  };
  return { name, description, timeoutMs, backend: settings, kind: job.kindOf(settings) };
}
