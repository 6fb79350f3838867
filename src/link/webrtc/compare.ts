/**
 * Compare: is a data channel faster than the hub? Both ends measure at once, before their links begin, and tell each other what they
 * found, so that both come to one answer.
 */
import { ProtocolError } from "../../errors.ts";
import { now } from "../../support/clock.ts";
import type { DataChannel } from "./data-channel.ts";

/** The first rounds meet a connection that has just begun. */
export const ROUNDS = 3;

const GOT = "got";
const TOOK = /^took (\d+\.\d+) (\d+\.\d+)$/;

/** Milliseconds that the same bytes take by the channel and by the hub. */
export interface Comparison {
  readonly channelMs: number;
  readonly hubMs: number;
}

/**
 * Sends `bytes` each way, several times, and takes the fastest: from the first byte until the other end has said that it has the
 * last. `hubMs` is how long the hub took on this side. Resolves, with the same on both ends, when both have measured.
 * @throws Error if the channel closes; ProtocolError if the other end says something else.
 */
export function compare(channel: DataChannel, bytes: number, hubMs: Promise<number>): Promise<Comparison> {
  return new Promise((resolve, reject) => {
    const piece = new Uint8Array(channel.messageBytes);
    let channelMs = Number.POSITIVE_INFINITY;
    let rounds = 0;
    let cameBytes = 0;
    let start = 0;
    const told: { own?: Comparison; other?: Comparison } = {};
    const begin = () => {
      start = now();
      for (let sent = 0; sent < bytes; sent += piece.byteLength) {
        channel.send(piece.subarray(0, Math.min(piece.byteLength, bytes - sent)));
      }
    };
    const conclude = () => {
      const { own, other } = told;
      if (!own || !other) return;
      channel.read(null);
      resolve({
        channelMs: Math.min(own.channelMs, other.channelMs),
        hubMs: (own.hubMs + other.hubMs) / 2,
      });
    };
    const tell = async () => {
      const text = `took ${channelMs.toFixed(3)} ${(await hubMs).toFixed(3)}`;
      channel.send(text);
      // As the other end reads it.
      told.own = comparisonIn(text);
      conclude();
    };
    const hear = (text: string) => {
      if (text !== GOT) {
        told.other = comparisonIn(text);
        conclude();
        return;
      }
      channelMs = Math.min(channelMs, now() - start);
      if (++rounds < ROUNDS) begin();
      else tell().catch(reject);
    };
    const take = (message: ArrayBuffer) => {
      cameBytes += message.byteLength;
      if (cameBytes % bytes === 0) channel.send(GOT);
    };
    channel.read({
      onMessage: (message) => {
        try {
          if (typeof message === "string") hear(message);
          else take(message);
        } catch (error) {
          reject(error);
        }
      },
      onClose: () => reject(new Error("the channel was closed")),
    });
    begin();
  });
}

function comparisonIn(text: string): Comparison {
  const [, channelMs, hubMs] = TOOK.exec(text) ?? [];
  if (channelMs === undefined || hubMs === undefined) {
    throw new ProtocolError("the other end of a data channel says what is no comparison");
  }
  return { channelMs: Number(channelMs), hubMs: Number(hubMs) };
}
