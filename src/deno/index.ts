/** webccl on Deno. */
import { initProcessGroupOn } from "../init.ts";
import type { InitOptions, InternalOptions } from "../init-options.ts";
import type { ProcessGroup } from "../process-group.ts";
import { denoPlatform } from "./platform.ts";

export * from "../index.ts";
export { FileStore } from "../node/file-store.ts";

/** Joins a group. As on Node; this rank joins through a hub, or in this thread (`memory://`). */
export function initProcessGroup(options: InitOptions & InternalOptions = {}): Promise<ProcessGroup> {
  return initProcessGroupOn(denoPlatform, options);
}
