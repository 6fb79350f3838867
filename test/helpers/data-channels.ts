/** Pairs of data channels, both ends in this process. */
import { connect } from "../../src/link/webrtc/connect.ts";
import { DataChannel } from "../../src/link/webrtc/data-channel.ts";
import type { Signal } from "../../src/link/webrtc/signal.ts";
import { loadPeerConnection } from "../../src/node/webrtc/peer-connection.ts";

/** Two ends of an open channel. */
export async function openChannels(): Promise<[DataChannel, DataChannel]> {
  const Connection = await loadPeerConnection();
  const ends = [0, 1].map(() => new DataChannel(new Connection()));
  const told: ((signal: Signal) => void)[] = [];
  const heard = ends.map(() => new Promise<Signal>((resolve) => told.push(resolve)));
  const opening = ends.map((channel, end) =>
    connect(channel, end === 0, { tell: async (signal) => told[end]!(signal), hear: () => heard[1 - end]! }, 5_000),
  );
  await Promise.all(opening);
  return ends as [DataChannel, DataChannel];
}
