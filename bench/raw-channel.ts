/** A data channel as a page would use it by itself: messages of 64 KiB, as many as keep its buffer filled. */
import type { ProcessGroup } from "../src/group/process-group.ts";
import { assembled, inbox } from "./inbox.ts";

const MESSAGE_BYTES = 64 * 1024;
/** Bytes that the browser holds at most, and at which it is given more. */
const FULL_BYTES = 1024 * 1024;
const LOW_BYTES = 256 * 1024;

/** One end of it. */
export interface RawChannel {
  readonly channel: RTCDataChannel;
  readonly next: () => Promise<ArrayBuffer>;
}

/** Opens one between ranks 0 and 1 of `group`, by which they find each other. */
export async function openRawChannel(group: ProcessGroup): Promise<RawChannel> {
  const { rank } = group;
  const connection = new RTCPeerConnection();
  const channel = connection.createDataChannel("raw", { negotiated: true, id: 0 });
  channel.binaryType = "arraybuffer";
  const next = inbox<ArrayBuffer>((take) => {
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => take(data);
  });
  const opened = new Promise((resolve) => {
    channel.onopen = resolve;
  });
  const describe = async () => {
    await connection.setLocalDescription();
    while (connection.iceGatheringState !== "complete") {
      await new Promise((resolve) => connection.addEventListener("icegatheringstatechange", resolve, { once: true }));
    }
    return connection.localDescription!.toJSON();
  };
  for (const root of [0, 1]) {
    const own: RTCSessionDescriptionInit | null = rank === root ? await describe() : null;
    const description = (await group.broadcastObject(own, { root })) as RTCSessionDescriptionInit;
    if (rank !== root) await connection.setRemoteDescription(description);
  }
  await opened;
  return { channel, next };
}

/** Sends `bytes`, and resolves when the other end has said that it has them. */
async function send({ channel, next }: RawChannel, bytes: number): Promise<void> {
  const message = new Uint8Array(MESSAGE_BYTES);
  let leftBytes = bytes;
  const fill = () => {
    while (leftBytes > 0 && channel.bufferedAmount < FULL_BYTES) {
      channel.send(message.subarray(0, Math.min(leftBytes, MESSAGE_BYTES)));
      leftBytes -= MESSAGE_BYTES;
    }
  };
  channel.bufferedAmountLowThreshold = LOW_BYTES;
  channel.onbufferedamountlow = fill;
  fill();
  await next();
}

/** Rank 0 sends `bytes` to rank 1, which says when it has them. */
export async function oneWayRaw(raw: RawChannel, rank: number, bytes: number): Promise<void> {
  if (rank === 0) return send(raw, bytes);
  await assembled(raw.next, bytes);
  raw.channel.send(new Uint8Array(1));
}
