/** What a rank says of its NCCL and its CUDA devices. Loaded where NCCL may be. */

import { abilitiesOf, type NcclLibrary } from "../../backend/nccl/library.ts";
import { UnsupportedError } from "../../errors.ts";
import { textOf } from "../../support/thrown.ts";
import type { Settings } from "../init-options.ts";
import type { NcclHere } from "./contract.ts";

/**
 * Opens NCCL by `load`, which is null where no CUDA device can be reached, if the settings may want it.
 * @throws UnsupportedError if they name it and it is not there.
 */
export async function offerNccl(
  { backend, makeBackend, deterministic }: Settings,
  load: (() => Promise<NcclLibrary>) | null,
): Promise<NcclHere> {
  const without = (missing: string): NcclHere => ({ found: null, offer: { missing } });
  if (makeBackend) return without("it has a backend of its own");
  if (backend !== "nccl" && backend !== "auto") return without(`its backend is "${backend}"`);
  if (deterministic) return without("deterministic is true, and NCCL's order is its own");
  try {
    if (!load) throw new UnsupportedError("this runtime reaches no CUDA device");
    const library = await load();
    const facts = await library.load();
    const { version, devices } = facts;
    const abilities = abilitiesOf(facts);
    return { found: library, offer: { version, devices: devices.map(({ uuid }) => uuid), abilities } };
  } catch (cause) {
    const text = textOf(cause);
    if (backend === "nccl") {
      throw new UnsupportedError(`backend "nccl" cannot be used here: ${text}`, { cause });
    }
    return without(text);
  }
}
