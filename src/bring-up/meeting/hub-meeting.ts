/** Meetings at a hub. Loaded where ranks meet so. */

import { fromWireError, HubLostError, PeerLostError } from "../../errors.ts";
import { HubConnection } from "../../link/hub/connection.ts";
import { hubDamage } from "../../link/payload/damage.ts";
import type { HubHandle, Platform } from "../../platform.ts";
import { HubStore } from "../../store/hub-store.ts";
import { now } from "../../support/clock.ts";
import type { Checksums } from "../../wire/checksum.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import type { Settings } from "../init-options.ts";
import { hubHasChecksums } from "../integrity.ts";
import type { Vigil } from "../vigil.ts";
import type { Coming, Meeting } from "./contract.ts";

/** How long a rank waits for the hub before it says so, in milliseconds. */
const QUIET_MS = 5_000;

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

/** Connects to the hub at `url`, which this rank hosts or not. */
export async function joinHub(
  platform: Platform,
  settings: Settings,
  url: string,
  hosted: HubHandle | null,
  { undo, vigil }: Coming,
): Promise<Meeting> {
  const { rank, worldSize, groupName, token, ticket, timeoutMs, peerTimeoutMs, signal, integrity } = settings;
  const checksums = hubHasChecksums(integrity, url);
  const sums = checksums ? new FrameSums(await openChecksums()) : null;
  const hello = { group: groupName, rank, worldSize, purpose: "hub" as const, checksums };
  const onRetry = saysOnce(settings, url);
  const options = { token, ticket, timeoutMs, silenceMs: peerTimeoutMs, signal, onRetry };
  const { socket, welcome, resume } = await platform.connect(url, hello, options);
  const hub = new HubConnection(socket, welcome, url, sums);
  undo.push((cause) => {
    hub.goodbye(vigil.toOthers(welcome.rank, cause));
    hub.close();
  });
  watchHub(hub, settings, vigil);
  const store = new HubStore(hub);
  store.timeoutMs = timeoutMs;
  return { rank: welcome.rank, epoch: welcome.epoch, store, hub, resume, hosted, links: null };
}

/** Hears of tries that fail: one line, once a rank has waited so long that the others are likely to wait for somebody's help. */
function saysOnce({ logger }: Settings, url: string): (tries: number, error: Error) => void {
  const begin = now();
  let isSaid = false;
  return (tries, { message }) => {
    if (isSaid || now() - begin < QUIET_MS) return;
    isSaid = true;
    logger.warn(
      `nothing answers at ${url} after ${tries} tries (${message}): is the hub, or rank 0, running? It is tried again until timeoutMs is over`,
    );
  };
}

/** Checksums for the connection to the hub, which is made before this rank has an executor. */
async function openChecksums(): Promise<Checksums> {
  const { loadChecksums } = await import("../../executor/checksum/checksums.ts");
  return loadChecksums(null);
}
