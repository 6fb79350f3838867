/**
 * Areas: what processes of one host have beyond messages, where all ranks of a job share files. `init.ts` loads this where
 * the rank does; nobody else needs the code.
 */
import * as algorithms from "../../algorithm/areas/in-areas.ts";
import type { HostExecutor } from "../../executor/executor.ts";
import type { FileLinks } from "../../link/files/links.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { AreasGate } from "../../region/areas/gate.ts";
import { AreaRegion, gateOf } from "../../region/areas/region.ts";

/** Opens the region of the group of all ranks; null if their files have no areas. */
export type AreaOpener = (channel: Channel) => { region: AreaRegion; close(): void } | null;

/** What opens it over the files of these links, for tensors of `executor`. */
export function areaOpener(links: FileLinks, executor: HostExecutor): AreaOpener {
  return ({ group, rank }) => {
    let gate: AreasGate | null = null;
    const areas = links.openAreas(() => gate?.woken());
    if (!areas) return null;
    gate = gateOf(areas, rank, group);
    return { region: new AreaRegion({ areas, gate, rank, executor, algorithms }), close: areas.close };
  };
}
