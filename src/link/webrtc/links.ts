/** The data channels of one rank: each pair finds each other through the store, and of the two the lower rank calls. */
import type { Store } from "../../store/store.ts";
import { connect, type Signalling } from "./connect.ts";
import { DataChannel } from "./data-channel.ts";
import { WebRtcLink } from "./link.ts";
import { decodeSignal, encodeSignal } from "./signal.ts";

/** The parts of a rank's channels. */
export interface WebRtcLinksOptions {
  /** The runtime's class. */
  Connection: typeof RTCPeerConnection;
  iceServers: readonly RTCIceServer[];
  rank: number;
  store: Store;
  /** Called with the error of a frame that was refused; the link then closes. */
  onError(error: unknown): void;
}

/** See the file's head. */
export class WebRtcLinks {
  readonly #options: WebRtcLinksOptions;
  readonly #channels = new Map<number, DataChannel>();
  /** Keys that this rank has written. */
  readonly #keys: string[] = [];

  constructor(options: WebRtcLinksOptions) {
    this.#options = options;
  }

  /**
   * Connects to `other`, which must do the same, within `limitMs`.
   * @throws Error that says why there is no way.
   */
  async connect(other: number, limitMs: number): Promise<DataChannel> {
    const { Connection, iceServers, rank, store } = this.#options;
    const channel = new DataChannel(new Connection({ iceServers: [...iceServers] }));
    this.#channels.set(other, channel);
    const calls = rank < other;
    const key = (type: "offer" | "answer") => `webrtc/${type}/${Math.min(rank, other)}-${Math.max(rank, other)}`;
    const [own, others] = calls ? (["offer", "answer"] as const) : (["answer", "offer"] as const);
    const signalling: Signalling = {
      tell: async (signal) => {
        // Of a channel that was given up nobody takes the words out of the store any more.
        if (!this.#channels.has(other)) return;
        this.#keys.push(key(own));
        await store.set(key(own), encodeSignal(signal));
      },
      hear: async () => {
        await store.wait([key(others)], limitMs);
        return decodeSignal(await store.get(key(others)), others);
      },
    };
    await connect(channel, calls, signalling, limitMs);
    return channel;
  }

  /** The link over the channel to `other`, which is open. */
  link(other: number): WebRtcLink {
    return new WebRtcLink(this.#channels.get(other)!, this.#options.onError);
  }

  /** Takes out of the store what this rank has told: the others have heard it. */
  async forget(): Promise<void> {
    for (const key of this.#keys.splice(0)) await this.#options.store.deleteKey(key);
  }

  /** Closes the channels to all but `kept`. */
  closeAllBut(kept: readonly number[]): void {
    for (const other of this.#channels.keys()) if (!kept.includes(other)) this.close(other);
  }

  /** Closes the channel to `other`, or gives up opening it; the other end notices. */
  close(other: number): void {
    this.#channels.get(other)?.terminate();
    this.#channels.delete(other);
  }
}
