/** Media: the ways in which this rank may be joined to others, best first. What a rank does not need is not loaded. */

import type { HostExecutor } from "../../executor/executor.ts";
import type { Platform } from "../../platform.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import type { Meeting } from "../meeting/contract.ts";
import type { RosterEntry } from "../roster.ts";
import type { HubMedium } from "./hub.ts";
import type { Mapped } from "./mapped.ts";
import type { Medium, Offer } from "./medium.ts";
import type { ProcessMedia } from "./processes.ts";
import type { TabMedia } from "./tabs.ts";
import type { Threads } from "./threads.ts";
import type { WebsocketMedium } from "./websocket.ts";

/** Why a rank that has no direct links shares nothing with other processes. */
const NO_DIRECT_LINKS = "it has no direct links";
const JOINED = "it joined a group that ran";

/** The media of one rank. */
export interface Media {
  readonly all: readonly Medium[];
  readonly websocket: WebsocketMedium | null;
  readonly hub: HubMedium | null;
  readonly tabs: TabMedia | null;
  /** Works in every tensor's memory. */
  readonly executor: HostExecutor;
  /** What they offer together. */
  readonly offer: Required<Offer>;
  /** The roster, once all media have found out what comes of its offers. */
  settle(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]>;
  /** With which ranks this one maps memory, shares files, has data channels, and of `members` WebSockets, or why with none. */
  reasons(members: readonly RosterEntry[]): {
    mappedMemory: string;
    sharedFile: string;
    websocket: string;
    webrtc: string;
  };
}

/** Opens the media of this rank, which has met the others. */
export async function openMedia(
  platform: Platform,
  settings: Settings,
  meeting: Meeting,
  { threads, mapped: mappedHere, executor }: { threads: Threads | null; mapped: Mapped | null; executor: HostExecutor },
  undo: Cleanup,
): Promise<Media> {
  const { rank, store, hub: connection, links } = meeting;
  const { transport, join } = settings;
  const here = { mapped: mappedHere, executor };
  const processes: ProcessMedia | null =
    platform.canListen && !links && transport !== "hub" && transport !== "webrtc"
      ? await (await import("./processes.ts")).openProcessMedia(platform, settings, meeting, here, undo)
      : null;
  const mayBeTab = transport === "auto" && connection && !join ? platform.openPortExchange : null;
  const tabs: TabMedia | null =
    mayBeTab || transport === "message-port" || transport === "webrtc"
      ? await (await import("./tabs.ts")).openTabMedia(platform, settings, meeting, undo)
      : null;
  const hub = connection && (await import("./hub.ts")).hubMedium(connection, executor, tabs?.ports ?? null);
  const memory = links && (await import("./memory.ts")).memoryMedium(links);
  const ofThreads = join ? null : threads?.medium(settings.groupName, undo);
  const all = [
    memory,
    ofThreads,
    processes?.mapped,
    processes?.files,
    tabs?.ports,
    processes?.websocket,
    tabs?.webrtc,
    hub,
  ].filter((medium) => medium != null);
  const missing = { missing: NO_DIRECT_LINKS };
  const nothing = {
    ...{ listenUrl: null, inMemory: false, thread: null, tab: null, webrtc: null },
    ...{ mappedMemory: missing, sharedFile: missing },
  };
  const offer: Required<Offer> = Object.assign(nothing, ...all.map((medium) => medium.offer));
  return {
    ...{ all, websocket: processes?.websocket ?? null, hub, tabs, executor, offer },
    settle: async (offers) =>
      (await import("./settle.ts")).settleMedia(
        { all, processes, tabs },
        { rank, settings, store, executor, undo },
        NO_DIRECT_LINKS,
        offers,
      ),
    reasons: (members) => {
      const otherwise = join ? JOINED : NO_DIRECT_LINKS;
      const saidBy = (medium: Medium | null | undefined) => medium?.description ?? otherwise;
      return {
        mappedMemory: saidBy(processes?.mapped),
        sharedFile: saidBy(processes?.files),
        websocket: processes?.websocket.describe(members) ?? otherwise,
        webrtc: saidBy(tabs?.webrtc),
      };
    },
  };
}
