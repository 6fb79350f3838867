/**
 * Meeting: where the ranks of a job find each other. A hub (someone's, or the one that rank 0 hosts), a file, a job of this
 * thread, or a store of the caller's; behind each of them is a {@link Store}.
 */

import type { Platform } from "../../platform.ts";
import { placeAtHub, type Settings } from "../init-options.ts";
import type { Coming, Meeting } from "./contract.ts";

/** Finds the store, and this rank's number where a hub gives it. */
export async function meet(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { method } = settings;
  if (settings.store)
    return (await import("./store-meeting.ts")).meetAtGiven(settings.store, platform, settings, coming);
  const store = method.protocol === "env:" ? await platform.threadJob()?.openStore?.() : null;
  if (store) return (await import("./store-meeting.ts")).meetAt(store, platform, settings, coming);
  switch (method.protocol) {
    case "memory:":
      return (await import("./store-meeting.ts")).meetInMemory(platform, settings, coming);
    case "file:":
      return (await import("./store-meeting.ts")).meetAtFile(platform, settings, coming);
    case "redis:":
    case "rediss:":
      return (await import("./store-meeting.ts")).meetAtRedis(platform, settings, coming);
    case "ws:":
    case "wss:":
      return (await import("./hub-meeting.ts")).joinHub(platform, settings, placeAtHub(method).hub, null, coming);
    default: {
      const { url, hosted } = await (await import("./hosted-hub.ts")).hubAtRank0(platform, settings, coming.undo);
      return (await import("./hub-meeting.ts")).joinHub(platform, settings, url, hosted, coming);
    }
  }
}
