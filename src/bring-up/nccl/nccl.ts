/** NCCL at bring-up: what each rank says of its own, and what the job makes of it. The code that runs on it is loaded where it is wanted. */
import type { Platform } from "../../platform.ts";
import type { Settings } from "../init-options.ts";
import type { RosterEntry } from "../roster.ts";
import type { JobNccl, NcclHere } from "./contract.ts";

/** NCCL of this rank, if it has any; its code is loaded where it may. */
export async function openNccl(platform: Platform, settings: Settings): Promise<NcclHere> {
  const load = settings.internal.loadNccl ?? platform.loadNccl;
  return load || settings.backend === "nccl"
    ? (await import("./offer.ts")).offerNccl(settings, load)
    : { found: null, offer: { missing: `a ${platform.runtime} reaches no CUDA device` } };
}

/** What the offers of all ranks come to. */
export async function agreeOnNccl(
  here: NcclHere,
  roster: readonly RosterEntry[],
  rank: number,
  settings: Settings,
): Promise<JobNccl> {
  if (roster.some(({ cuda }) => "devices" in cuda))
    return (await import("./ranks.ts")).agree(here, roster, rank, settings);
  const [first] = roster;
  const reason = first && "missing" in first.cuda ? `rank ${first.rank} has no NCCL: ${first.cuda.missing}` : "";
  return { choice: null, ranks: null, reason };
}
