/** A hub in a process of a simulated world, as node/hub.ts starts one. */
import { Hub } from "../hub/hub.ts";
import type { HubHandle, ListenOptions } from "../platform.ts";
import { listen } from "./listen.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./world.ts";

/** Bounds that are small enough to be met. */
const LIMITS = { highWaterBytes: 256 * 1024, maxMessageBytes: 2 * 2 ** 20 } as const;

/** Most bytes that a hub of a world may have for its members. */
export const MAX_HUB_BYTES = 32 * 2 ** 20;

/** Starts it. */
export async function startSimulatedHub(
  world: World,
  process: SimulatedProcess,
  options: ListenOptions & { hostRank?: number; slowReaderMs?: number },
): Promise<HubHandle> {
  const { executor } = world.executors.hub;
  const checksums = await executor.openChecksums();
  const hub = new Hub({ ...options, ...LIMITS, maxHubBytes: MAX_HUB_BYTES, executor, checksums });
  world.hubs.set(process, hub);
  const listener = listen(world, process, { ...options, maxMessageBytes: LIMITS.maxMessageBytes }, (hello, socket) =>
    hub.accept(hello, socket),
  );
  return {
    url: listener.url,
    port: listener.port,
    drained: (group, timeoutMs) => hub.drained(group, timeoutMs),
    close: async () => {
      await listener.close();
      await hub.close();
    },
  };
}
