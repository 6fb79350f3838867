/** Connects two ranks by a data channel: each tells the other once, with all its addresses, where it can be reached. */
import { startTimer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";
import type { DataChannel } from "./data-channel.ts";
import { hasCandidates, type Signal } from "./signal.ts";

/** The share of its time for which each of the two may look for addresses: a STUN server that does not answer holds nobody up for longer. */
const GATHER_SHARE = 0.4;

/** The way by which the two hear of each other. */
export interface Signalling {
  tell(signal: Signal): Promise<void>;
  /** What the other tells, checked. */
  hear(): Promise<Signal>;
}

/**
 * Opens `channel`, for which the caller has `limitMs`. Of the two ranks one `calls`.
 * @throws Error that says why there is no way; the other rank is told.
 */
export async function connect(
  channel: DataChannel,
  calls: boolean,
  { tell, hear }: Signalling,
  limitMs: number,
): Promise<void> {
  const { connection } = channel;
  let isTold = false;
  const describe = async (type: "offer" | "answer") => {
    await connection.setLocalDescription(
      type === "offer" ? await connection.createOffer() : await connection.createAnswer(),
    );
    await gathered(connection, limitMs * GATHER_SHARE);
    const { sdp } = connection.localDescription!;
    if (!hasCandidates(sdp)) throw new Error("it found no network address at which it can be reached");
    isTold = true;
    await tell({ type, sdp });
  };
  const listen = async () => {
    const signal = await hear();
    if (signal.type === "none") {
      isTold = true;
      throw new Error(`the other rank makes no channel: ${signal.reason}`);
    }
    await connection.setRemoteDescription(signal);
  };
  try {
    if (calls) await describe("offer");
    await listen();
    if (!calls) await describe("answer");
    await channel.opened;
    channel.checkMessageBytes();
  } catch (error) {
    channel.terminate();
    // Where not even that can be told, the other rank waits until its time is over.
    if (!isTold) await tell({ type: "none", reason: textOf(error) }).catch(() => {});
    throw error;
  }
}

/** Resolves when no further address is to be found, or none was within `limitMs`. */
function gathered(connection: RTCPeerConnection, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = startTimer(limitMs, resolve);
    const look = () => {
      if (connection.iceGatheringState !== "complete") return;
      timer.cancel();
      resolve();
    };
    connection.onicegatheringstatechange = look;
    look();
  });
}
