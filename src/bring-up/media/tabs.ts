/** Tabs: the media of ranks that meet at a hub and cannot listen. Loaded where a page does, or where the settings ask for it. */
import type { Platform } from "../../platform.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import type { Meeting } from "../meeting/contract.ts";
import type { MessagePorts } from "./message-port.ts";
import type { WebRtcMedium } from "./webrtc.ts";

/** The media of a tab; null where it has none of a kind. */
export interface TabMedia {
  readonly ports: MessagePorts | null;
  readonly webrtc: WebRtcMedium | null;
}

/**
 * Opens them, each where the settings allow it.
 * @throws UnsupportedError if one is asked for and there is none.
 */
export async function openTabMedia(
  platform: Platform,
  settings: Settings,
  { rank, store, hub }: Meeting,
  undo: Cleanup,
): Promise<TabMedia> {
  const { transport } = settings;
  const ports =
    transport === "webrtc"
      ? null
      : await (await import("./message-port.ts")).openMessagePorts(platform, settings, rank, hub, undo);
  const webrtc =
    transport === "message-port"
      ? null
      : await (await import("./webrtc.ts")).openWebRtc(platform, { rank, settings, store, undo });
  return { ports, webrtc };
}
