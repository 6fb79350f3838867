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
import type { MessagePorts } from "./message-port.ts";
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
  readonly ports: MessagePorts | null;
  /** Works in every tensor's memory. */
  readonly executor: HostExecutor;
  /** What they offer together. */
  readonly offer: Required<Offer>;
  /** The roster, once all media have found out what comes of its offers. */
  settle(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]>;
  /** With which ranks this one maps memory and shares files, or why with none. */
  reasons(): { mappedMemory: string; sharedFile: string };
}

/** Opens the media of this rank, which has met the others. */
export async function openMedia(
  platform: Platform,
  settings: Settings,
  { rank, store, hub: connection, links }: Meeting,
  { threads, mapped: here, executor }: { threads: Threads | null; mapped: Mapped | null; executor: HostExecutor },
  undo: Cleanup,
): Promise<Media> {
  const listens = platform.canListen && !links && settings.transport !== "hub";
  const websocket = listens
    ? await (await import("./websocket.ts")).openWebsocket(platform, { settings, rank, store, executor, undo })
    : null;
  const options = { rank, settings, store, executor, underneath: websocket, undo };
  const { join } = settings;
  const mapped = websocket && !join ? (await import("./mapped.ts")).mappedMedium(here, options) : null;
  const files = websocket && !join ? (await import("./files.ts")).openFiles(platform, options) : null;
  const { transport } = settings;
  const mayHavePorts = transport === "auto" && connection && !join ? platform.openPortExchange : null;
  const ports =
    mayHavePorts || transport === "message-port"
      ? await (await import("./message-port.ts")).openMessagePorts(platform, settings, rank, connection, undo)
      : null;
  const hub = connection && (await import("./hub.ts")).hubMedium(connection, executor, ports);
  const memory = links && (await import("./memory.ts")).memoryMedium(links);
  const ofThreads = join ? null : threads?.medium(settings.groupName, undo);
  const all = [memory, ofThreads, mapped, files, ports, websocket, hub].filter((medium) => medium != null);
  const missing = { missing: NO_DIRECT_LINKS };
  const nothing = {
    listenUrl: null,
    inMemory: false,
    thread: null,
    tab: null,
    mappedMemory: missing,
    sharedFile: missing,
  };
  const offer: Required<Offer> = Object.assign(nothing, ...all.map((medium) => medium.offer));
  return {
    ...{ all, websocket, hub, ports, executor, offer },
    settle: async (offers) => {
      let roster = offers;
      for (const medium of all) roster = await medium.settle(roster);
      // Ranks that share memory or files settle among all ranks of the job, those without them too.
      return websocket ? roster : (await import("./bystander.ts")).settleBeside(options, NO_DIRECT_LINKS, roster);
    },
    reasons: () => {
      const otherwise = join ? JOINED : NO_DIRECT_LINKS;
      return { mappedMemory: mapped?.description ?? otherwise, sharedFile: files?.description ?? otherwise };
    },
  };
}
