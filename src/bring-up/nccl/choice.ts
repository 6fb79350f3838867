/** What this rank does on NCCL. Loaded where it has it. */
import type { Backend } from "../../backend/backend.ts";
import type { ClusterReduction } from "../../backend/direct/direct.ts";
import { NcclCluster } from "../../backend/nccl/cluster.ts";
import { HostTwinBackend } from "../../backend/nccl/host-twin.ts";
import type { NcclLibrary } from "../../backend/nccl/library.ts";
import { NcclBackend } from "../../backend/nccl/nccl.ts";
import { ncclNotes } from "../../backend/nccl/plan.ts";
import { UnsupportedError, type WebcclError } from "../../errors.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { Store } from "../../store/store.ts";
import type { Settings } from "../init-options.ts";
import type { NcclRanks, NcclUse } from "./ranks.ts";

/** NCCL for a job on this rank. */
export interface NcclChoice {
  /** This rank's part in a group. */
  join(use: NcclUse, group: { channel: Channel; store: Store; segmentBytes: number }): NcclPart;
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

/**
 * What this rank uses, and why.
 * @throws UnsupportedError if this rank's settings name nccl and some rank cannot.
 */
export function chooseNccl(
  { library, version }: { library: NcclLibrary; version: number },
  { devices, objection }: NcclRanks,
  rank: number,
  { backend, ncclOptions }: Settings,
): { choice: NcclChoice | null; reason: string } {
  const device = devices[rank]!;
  if (objection !== null && backend === "nccl") {
    throw new UnsupportedError(`backend "nccl" cannot be used: ${objection}`);
  }
  if (device === null) return { choice: null, reason: objection ?? "" };
  const { isHighPriorityStream = false, config = {} } = ncclOptions;
  const init = { ...config, device, isHighPriorityStream };
  const others = objection === null ? "every rank has a CUDA device" : `not every rank is on NCCL: ${objection}`;
  return {
    choice: {
      join({ whole, clusters, devices: taking }, group) {
        const options = { library, version, init, ...group };
        const { rank: own } = group.channel;
        const inPart = !whole && taking[own] !== null;
        const ranks = clusters.find((cluster) => cluster.includes(own))!;
        const cluster = inPart ? new NcclCluster({ ...options, ranks }) : null;
        let onNccl: NcclBackend | null = null;
        return {
          cluster,
          backend(direct) {
            if (!whole) return new HostTwinBackend(direct);
            onNccl = new NcclBackend({ ...options, direct });
            return onNccl;
          },
          die(cause) {
            cluster?.die(cause);
            onNccl?.die(cause);
          },
        };
      },
      notes: ({ whole, devices: taking }) =>
        ncclNotes(
          whole,
          taking.some((one) => one !== null),
        ),
    },
    reason: `${others}; this one's is device ${device}`,
  };
}
