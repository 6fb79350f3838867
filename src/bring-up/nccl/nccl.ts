/** NCCL at bring-up: what each rank says of its own, and what the job makes of it. The code that runs on it is loaded where it is wanted. */
import type { NcclLibrary } from "../../backend/nccl/library.ts";
import { UnsupportedError } from "../../errors.ts";
import type { Platform } from "../../platform.ts";
import type { Settings } from "../init-options.ts";
import type { CudaOffer, RosterEntry } from "../roster.ts";
import type { NcclChoice } from "./choice.ts";
import type { NcclRanks } from "./ranks.ts";

/** NCCL as this rank has it, and what it tells the others. */
export interface NcclHere {
  readonly found: { readonly library: NcclLibrary; readonly version: number } | null;
  readonly offer: CudaOffer;
}

/** What a job makes of NCCL, on one rank. */
export interface JobNccl {
  /** NCCL, if this rank is on it. */
  readonly choice: NcclChoice | null;
  /** Which ranks of the job are on it; null if none. */
  readonly ranks: NcclRanks | null;
  /** Why this rank is on it, or why not. */
  readonly reason: string;
}

/**
 * Opens NCCL where a CUDA device can be reached, if the settings may want it.
 * @throws UnsupportedError if they name it and it is not there.
 */
export async function openNccl(platform: Platform, settings: Settings): Promise<NcclHere> {
  const { backend, makeBackend, deterministic, internal } = settings;
  const load = internal.loadNccl ?? platform.loadNccl;
  const without = (missing: string): NcclHere => ({ found: null, offer: { missing } });
  if (!load && backend !== "nccl") return without(`a ${platform.runtime} reaches no CUDA device`);
  if (makeBackend) return without("it has a backend of its own");
  if (backend !== "nccl" && backend !== "auto") return without(`its backend is "${backend}"`);
  if (deterministic) return without("deterministic is true, and NCCL's order is its own");
  try {
    if (!load) throw new UnsupportedError("this runtime reaches no CUDA device");
    const library = await load();
    const { version, devices } = await library.load();
    return { found: { library, version }, offer: { version, devices: devices.map(({ uuid }) => uuid) } };
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    if (backend === "nccl") {
      throw new UnsupportedError(`backend "nccl" cannot be used here: ${text}`, { cause });
    }
    return without(text);
  }
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
