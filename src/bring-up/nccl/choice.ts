import type { NcclOptions } from "../../backend/choice.ts";
import { NcclCluster } from "../../backend/nccl/cluster.ts";
import { HostTwinBackend } from "../../backend/nccl/host-twin.ts";
import type { NcclLibrary } from "../../backend/nccl/library.ts";
import { NcclBackend } from "../../backend/nccl/nccl.ts";
import { ncclNotes } from "../../backend/nccl/plan.ts";
import { UnsupportedError } from "../../errors.ts";
import type { Settings } from "../init-options.ts";
import type { NcclChoice, NcclMembers } from "./contract.ts";

/**
 * What this rank uses, and why.
 * @throws UnsupportedError if this rank's settings name nccl and some rank cannot.
 */
export function chooseNccl(
  library: NcclLibrary,
  { devices, objection, abilities }: NcclMembers,
  rank: number,
  { backend, ncclOptions }: Settings,
): { choice: NcclChoice | null; reason: string } {
  const device = devices[rank]!;
  if (objection !== null && backend === "nccl") {
    throw new UnsupportedError(`backend "nccl" cannot be used: ${objection}`);
  }
  if (device === null) return { choice: null, reason: objection ?? "" };
  const initOf = ({ isHighPriorityStream = false, config = {} }: NcclOptions) => ({
    ...{ ...config, device, isHighPriorityStream },
  });
  const others = objection === null ? "every rank has a CUDA device" : `not every rank is on NCCL: ${objection}`;
  return {
    choice: {
      join({ whole, clusters, devices: taking }, { ncclOptions: own = ncclOptions, ...group }) {
        const options = { library, abilities, init: initOf(own), ...group };
        const { rank: here } = group.channel;
        const inPart = !whole && taking[here] !== null;
        const ranks = clusters.find((cluster) => cluster.includes(here))!;
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
