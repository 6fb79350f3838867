/** Processes: the media of ranks that can listen. Loaded where one can; a page cannot. */
import type { HostExecutor } from "../../executor/executor.ts";
import type { Platform } from "../../platform.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import type { Meeting } from "../meeting/contract.ts";
import { openFiles } from "./files.ts";
import { type Mapped, mappedMedium } from "./mapped.ts";
import type { Medium } from "./medium.ts";
import { openWebsocket, type WebsocketMedium } from "./websocket.ts";

/** The media of a process; one that joined a group that ran has sockets alone. */
export interface ProcessMedia {
  readonly websocket: WebsocketMedium;
  readonly mapped: Medium | null;
  readonly files: Medium | null;
}

/** Opens them. `here` is what this process has for memory in common. */
export async function openProcessMedia(
  platform: Platform,
  settings: Settings,
  { rank, store }: Meeting,
  { mapped: here, executor }: { mapped: Mapped | null; executor: HostExecutor },
  undo: Cleanup,
): Promise<ProcessMedia> {
  const websocket = await openWebsocket(platform, { settings, rank, store, executor, undo });
  if (settings.join) return { websocket, mapped: null, files: null };
  const options = { rank, settings, store, executor, underneath: websocket, undo };
  return { websocket, mapped: mappedMedium(here, options), files: openFiles(platform, options) };
}
