/**
 * Hub move: how a rank of a job that runs comes to another hub than its own, which is gone: to one that a member started in its
 * place, or to one that was started again at the same address.
 */
import { HubConnection } from "../../link/hub/connection.ts";
import type { Socket } from "../../link/link.ts";
import { HubStore } from "../../store/hub-store.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import { hubHasChecksums } from "../integrity.ts";
import { linkBetween } from "../linking.ts";
import type { JobParts } from "./parts.ts";

/** How the rank comes there. */
interface MoveOptions {
  /** Milliseconds for connecting. */
  readonly timeoutMs: number;
  /** Ends the connecting. */
  readonly signal?: AbortSignal;
}

const nothing = () => {};
const DEAF = {
  onFrame: nothing,
  onFold: nothing,
  onDamaged: nothing,
  onLost: nothing,
  onLeft: nothing,
  onClosed: nothing,
};

/**
 * Connects this rank to the hub at `url`, which takes the place of its hub and store, and relays between those whom no other link
 * joins.
 * @throws TimeoutError if nothing answers; AdmissionError if the hub refuses the rank; AbortedError by the signal.
 */
export async function moveToHub(parts: JobParts, url: string, { timeoutMs, signal }: MoveOptions): Promise<void> {
  const { platform, settings, seat, members, epoch, media, meeting, mesh, roster } = parts;
  const { groupName: group, token, peerTimeoutMs: silenceMs, integrity } = settings;
  const checksums = hubHasChecksums(integrity, url);
  const { loadChecksums } = await import("../../executor/checksum/checksums.ts");
  const sums = checksums ? new FrameSums(await loadChecksums(null)) : null;
  const hello = { group, rank: seat, worldSize: 1 + Math.max(...members), purpose: "hub" as const, checksums };
  const options = { token, ticket: meeting.resume, timeoutMs, silenceMs, signal };
  const { socket, welcome, resume } = await platform.connect(url, hello, options);
  const hub = new HubConnection(socket, welcome, url, sums);
  // Where the hub of a process that is stopped goes on, nobody here hears of it any more.
  meeting.hub?.start(DEAF);
  meeting.hub?.close();
  try {
    const store = new HubStore(hub);
    store.timeoutMs = settings.timeoutMs;
    const { hubMedium } = await import("../media/hub.ts");
    const medium = hubMedium(hub, media.executor, media.tabs?.ports ?? null);
    // A rank that joined knows no entry of those that were lost before.
    const entries = members.flatMap((member) => roster[member] ?? []);
    const own = entries.find(({ rank }) => rank === seat)!;
    await medium.settle(entries);
    const relayed = entries.filter((entry) => entry !== own && linkBetween(own, entry) === "hub");
    await medium.link(relayed, (member, link) => mesh.add(member, link));
    hub.tell({ type: "members", epoch, ranks: members });
    if (media.websocket) {
      const { SECRET } = await import("../media/websocket.ts");
      // Whoever joins looks for it there.
      await store.set(SECRET, media.websocket.secret);
    }
    parts.media = { ...media, hub: medium, all: [...media.all.filter(({ kind }) => kind !== "hub"), medium] };
    parts.meeting = { ...meeting, hub, resume, store, hosted: null };
    medium.start(mesh);
  } catch (error) {
    hub.close();
    throw error;
  }
}

/** The hub at `url`, of rank `host` or of none, was gone before this rank came to it: as if its connection had closed. */
export function missHub(parts: JobParts, url: string, host: number | null): void {
  const { seat, members, epoch, meeting } = parts;
  const socket = closedSocket();
  const welcome = { rank: seat, worldSize: 1 + Math.max(...members), epoch, hostRank: host, checksums: false };
  const hub = new HubConnection(socket, welcome, url);
  socket.onClose(1006, "");
  parts.meeting = { ...meeting, hub, store: new HubStore(hub) };
}

function closedSocket(): Socket {
  return {
    ...{ bufferedBytes: 0, isClosed: true, pause: nothing, resume: nothing, close: nothing, terminate: nothing },
    ...{ onMessage: nothing, streamTo: nothing, withdrawRoom: nothing, onClose: nothing },
    send: (_, onSent) => onSent?.(),
  };
}
