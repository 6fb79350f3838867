/** NCCL at bring-up: what each rank says of its own, and what the job makes of it. The code that runs on it is loaded where it is wanted. */
import type { Platform } from "../../platform.ts";
import type { Settings } from "../init-options.ts";
import type { RosterEntry } from "../roster.ts";
import type { NcclChoice } from "./choice.ts";
import type { NcclHere } from "./offer.ts";
import type { NcclRanks } from "./ranks.ts";

/** What a job makes of NCCL, on one rank. */
export interface JobNccl {
  /** NCCL, if this rank is on it. */
  readonly choice: NcclChoice | null;
  /** Which ranks of the job are on it; null if none. */
  readonly ranks: NcclRanks | null;
  /** Why this rank is on it, or why not. */
  readonly reason: string;
}

/** NCCL of this rank, if it has any; its code is loaded where it may. */
export async function openNccl(platform: Platform, settings: Settings): Promise<NcclHere> {
  const load = settings.internal.loadNccl ?? platform.loadNccl;
  return load || settings.backend === "nccl"
    ? (await import("./offer.ts")).offerNccl(settings, load)
    : { found: null, offer: { missing: `a ${platform.runtime} reaches no CUDA device` } };
}

/** What the offers of all ranks come to. */
export async function agreeOnNccl(
  { found }: NcclHere,
  roster: readonly RosterEntry[],
  rank: number,
  settings: Settings,
): Promise<JobNccl> {
  const hasCuda = roster.some(({ cuda }) => "devices" in cuda);
  if (!hasCuda) return { choice: null, ranks: null, reason: objectionOf(roster[0]) };
  const ranks = new (await import("./ranks.ts")).NcclRanks(roster);
  if (!found) return { choice: null, ranks, reason: ranks.objection ?? "" };
  const { chooseNccl } = await import("./choice.ts");
  return { ranks, ...chooseNccl(found, ranks, rank, settings) };
}

/** Why a job in which no rank has CUDA devices does not run on NCCL. */
function objectionOf(first: RosterEntry | undefined): string {
  return first && "missing" in first.cuda ? `rank ${first.rank} has no NCCL: ${first.cuda.missing}` : "";
}
