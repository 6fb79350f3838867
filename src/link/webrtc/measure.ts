/** Measure: how long a data channel takes, to be compared with the hub. Both ends measure at once, before the link begins. */
import { now } from "../../support/clock.ts";
import type { DataChannel } from "./data-channel.ts";

/** Bytes that are sent each way in each round. */
export const PROBE_BYTES = 256 * 1024;
/** The first one meets a connection that has just begun. */
export const ROUNDS = 2;

const GOT = "got";

/**
 * Milliseconds of the fastest round, from the first of its bytes until the other end has said that it has the last. Resolves when
 * both ends have measured.
 * @throws Error if the channel closes.
 */
export function measure(channel: DataChannel): Promise<number> {
  return new Promise((resolve, reject) => {
    const piece = new Uint8Array(channel.messageBytes);
    let best = Number.POSITIVE_INFINITY;
    let rounds = 0;
    let cameBytes = 0;
    let start = 0;
    const begin = () => {
      start = now();
      for (let sent = 0; sent < PROBE_BYTES; sent += piece.byteLength) {
        channel.send(piece.subarray(0, Math.min(piece.byteLength, PROBE_BYTES - sent)));
      }
    };
    const endIfOver = () => {
      if (rounds < ROUNDS || cameBytes < ROUNDS * PROBE_BYTES) return;
      channel.read(null);
      resolve(best);
    };
    channel.read({
      onMessage: (message) => {
        if (typeof message === "string") {
          best = Math.min(best, now() - start);
          if (++rounds < ROUNDS) begin();
        } else {
          cameBytes += message.byteLength;
          if (cameBytes % PROBE_BYTES === 0) channel.send(GOT);
        }
        endIfOver();
      },
      onClose: () => reject(new Error("the channel was closed")),
    });
    begin();
  });
}
