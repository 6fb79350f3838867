/** Bun as a {@link Platform}: what node/ does with node: modules and `ws`, under Bun's name. */
import { nodePlatform } from "../node/platform.ts";
import type { Platform } from "../platform.ts";

/** Bun, as bring-up/init.ts uses it. */
export const bunPlatform: Platform = {
  ...nodePlatform,
  runtime: "bun",
  version: `bun ${process.versions.bun}`,
  get hostId() {
    return nodePlatform.hostId;
  },
  get processId() {
    return nodePlatform.processId;
  },
};
