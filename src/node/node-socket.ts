/**
 * NodeSocket: a `ws` WebSocket as a {@link BaseSocket}.
 *
 * One message is sent as short WebSocket frames, corked into one write: nothing is concatenated. What arrives is
 * handed on as the fragments it came in.
 */
import type { Socket as NetSocket } from "node:net";
import type { WebSocket } from "ws";
import { BaseSocket } from "../transport/base-socket.ts";
import { watchLiveness } from "./liveness.ts";

/** Options of `ws` that both sides share. */
export const WS_OPTIONS = {
  // S13: a compressed message may swell a thousandfold, and gradients do not compress.
  perMessageDeflate: false,
  skipUTF8Validation: true,
  // How long the other side may take to answer a close.
  closeTimeout: 5_000,
} as const;

export class NodeSocket extends BaseSocket {
  readonly #ws: WebSocket;
  readonly #net: NetSocket;

  /** `net` is the connection below `ws`, which must be open. */
  constructor(ws: WebSocket, net: NetSocket) {
    super();
    this.#ws = ws;
    this.#net = net;
    ws.binaryType = "fragments";
    ws.on("message", (data: Buffer | Buffer[], isBinary: boolean) => {
      if (isBinary && Array.isArray(data)) this.deliver(data);
      else ws.close(1003, "binary messages only");
    });
    // The close event follows every error, and carries its code.
    ws.on("error", () => {});
    ws.on("close", (code, reason) => this.deliverClose(code, reason.toString()));
  }

  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(parts: readonly Uint8Array[], onSent?: () => void): void {
    const pieces = parts.flatMap(cut);
    const last = pieces.length - 1;
    this.#net.cork();
    pieces.forEach((piece, i) => {
      // Called with an error too: a closed socket no longer reads the parts either.
      this.#ws.send(piece, { binary: true, fin: i === last }, i === last ? () => onSent?.() : undefined);
    });
    this.#net.uncork();
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  close(code = 1000, reason = ""): void {
    // A paused socket would never see the other side's answer.
    if (this.#ws.isPaused) this.#ws.resume();
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  /** Closes if the other side gives no sign of life for `timeoutMs`. */
  watch(timeoutMs: number): void {
    watchLiveness(this.#ws, timeoutMs, () => {
      this.deliverClose(1006, `no sign of life for ${timeoutMs} ms`);
      this.#ws.terminate();
    });
  }
}

/**
 * Most bytes of one WebSocket frame. `ws` hands on a frame that came in one read of its socket (64 KiB) as it is, and joins one
 * that did not in a new buffer: with short frames few are joined. Measured on a 64 MB all-reduce of two processes, in
 * alternation: 1.3 to 1.5 times the speed of one frame per part.
 */
const MAX_FRAME_BYTES = 8 * 1024;

/** A part in pieces that each fit a frame; none if it is empty. */
function cut(part: Uint8Array): Uint8Array[] {
  if (part.byteLength <= MAX_FRAME_BYTES) return part.byteLength === 0 ? [] : [part];
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < part.byteLength; start += MAX_FRAME_BYTES) {
    pieces.push(part.subarray(start, start + MAX_FRAME_BYTES));
  }
  return pieces;
}
