/** webccl on Deno. */
import { initProcessGroupOn } from "../init.ts";
import type { InitOptions, InternalOptions } from "../init-options.ts";
import type { ProcessGroup } from "../process-group.ts";
import { denoPlatform } from "./platform.ts";

export * from "../index.ts";
export { FileStore } from "../node/file-store.ts";
export { spawnRanks } from "../node/spawn-ranks.ts";

/**
 * Joins the group that the options, or the environment, name; resolves when all its ranks are linked. As on Node; needs
 * the permissions `--allow-net --allow-env --allow-sys`, and `--allow-read --allow-write` for what is in files.
 */
export function initProcessGroup(options: InitOptions & InternalOptions = {}): Promise<ProcessGroup> {
  return initProcessGroupOn(denoPlatform, options);
}
