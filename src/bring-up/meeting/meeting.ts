/**
 * Meeting: where the ranks of a job find each other. A hub (someone's, or the one that rank 0 hosts), a file, a job of this
 * thread, or a store of the caller's; behind each of them is a {@link Store}.
 */

import { fromWireError, HubLostError, PeerLostError } from "../../errors.ts";
import { HubConnection } from "../../link/hub/connection.ts";
import { hubDamage } from "../../link/payload/damage.ts";
import type { HubHandle, Platform } from "../../platform.ts";
import { HubStore } from "../../store/hub-store.ts";
import type { Checksums } from "../../wire/checksum.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import type { Settings } from "../init-options.ts";
import { hubHasChecksums } from "../integrity.ts";
import type { Vigil } from "../vigil.ts";
import type { Coming, Meeting } from "./contract.ts";

/** Finds the store, and this rank's number where a hub gives it. */
export async function meet(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { method } = settings;
  const store = settings.store ?? (method.protocol === "env:" ? await platform.threadJob()?.openStore?.() : null);
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
      return joinHub(platform, settings, `${method.protocol}//${method.host}`, null, coming);
    default: {
      const { url, hosted } = await (await import("./hosted-hub.ts")).hubAtRank0(platform, settings, coming.undo);
      return joinHub(platform, settings, url, hosted, coming);
    }
  }
}

/** Hears at the hub of ranks that are lost, or whose bring-up has ended. One that left in order had all that it needed. */
function watchHub(hub: HubConnection, { groupName, join }: Settings, vigil: Vigil): void {
  const { hostRank } = hub.welcome;
  const lost = (rank: number, reason: string) =>
    vigil.hear(new PeerLostError(`rank ${rank} was lost during the bring-up: ${reason}`, { peer: rank }));
  hub.watch({
    onFrame: () => {},
    onFold: () => {},
    onDamaged: (rank, seen) => vigil.hear(hubDamage(groupName, rank, hub.url, seen)),
    // A group that runs may lose ranks while another waits to join it.
    onLost: (rank, reason) => {
      if (!join) lost(rank, reason);
    },
    onLeft: (_rank, cause) => {
      if (cause && !join) vigil.hear(fromWireError(cause));
    },
    onClosed: (code, reason) => {
      const text = `the link to the hub at ${hub.url} closed during the bring-up (${code}${reason && ` ${reason}`})`;
      if (hostRank === null) vigil.hear(new HubLostError(text, { url: hub.url }));
      else lost(hostRank, text);
    },
  });
}

async function joinHub(
  platform: Platform,
  settings: Settings,
  url: string,
  hosted: HubHandle | null,
  { undo, vigil }: Coming,
): Promise<Meeting> {
  const { rank, worldSize, groupName, token, timeoutMs, peerTimeoutMs: silenceMs, signal, integrity } = settings;
  const checksums = hubHasChecksums(integrity, url);
  const sums = checksums ? new FrameSums(await openChecksums()) : null;
  const hello = { group: groupName, rank, worldSize, purpose: "hub" as const, checksums };
  const { socket, welcome } = await platform.connect(url, hello, { token, timeoutMs, silenceMs, signal });
  const hub = new HubConnection(socket, welcome, url, sums);
  undo.push((cause) => {
    hub.goodbye(vigil.toOthers(welcome.rank, cause));
    hub.close();
  });
  watchHub(hub, settings, vigil);
  const store = new HubStore(hub);
  store.timeoutMs = timeoutMs;
  return { rank: welcome.rank, epoch: welcome.epoch, store, hub, hosted, links: null };
}

/** Checksums for the connection to the hub, which is made before this rank has an executor. */
async function openChecksums(): Promise<Checksums> {
  const { loadChecksums } = await import("../../executor/checksum/checksums.ts");
  return loadChecksums(null);
}
