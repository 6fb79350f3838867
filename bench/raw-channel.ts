/** A data channel as a page would use it by itself: messages of 64 KiB, as many as keep its buffer filled. */
import type { ProcessGroup } from "../src/group/process-group.ts";

const MESSAGE_BYTES = 64 * 1024;
/** Bytes that the browser holds at most, and at which it is given more. */
const FULL_BYTES = 1024 * 1024;
const LOW_BYTES = 256 * 1024;

/** Opens one between ranks 0 and 1 of `group`, by which they find each other. */
export async function openRawChannel(group: ProcessGroup): Promise<RTCDataChannel> {
  const { rank } = group;
  const connection = new RTCPeerConnection();
  const channel = connection.createDataChannel("raw", { negotiated: true, id: 0 });
  channel.binaryType = "arraybuffer";
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
  return channel;
}

/** Sends `bytes`, and resolves when the other end has said that it has them. */
export function sendRaw(channel: RTCDataChannel, bytes: number): Promise<void> {
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
  return new Promise((resolve) => {
    channel.onmessage = () => resolve();
    fill();
  });
}

/** Takes `bytes` into one array, and says that it has them. */
export function receiveRaw(channel: RTCDataChannel, bytes: number): Promise<void> {
  const into = new Uint8Array(bytes);
  let cameBytes = 0;
  return new Promise((resolve) => {
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      into.set(new Uint8Array(data), cameBytes);
      cameBytes += data.byteLength;
      if (cameBytes < bytes) return;
      channel.send("got");
      resolve();
    };
  });
}
