/** Upgrade: the HTTP upgrade and its checks, which `ws` does for both sides. The connection is then a NodeSocket's. */
import type { Socket as NetSocket } from "node:net";
import { WebSocket } from "./environment/ws.ts";

/** Options of `ws` that both sides share. */
export const UPGRADE_OPTIONS = {
  // S13: a compressed message may swell a thousandfold, and gradients do not compress.
  perMessageDeflate: false,
} as const;

/** A WebSocket of `ws` that never opens: it gives its connection away. */
export class Upgrade extends WebSocket {
  /** Called with the connection, and the bytes that came behind the upgrade. */
  onUpgraded: (net: NetSocket, head: Buffer) => void = () => {};

  /** Where `ws` would begin to read and write messages, on either side, once the upgrade is valid. */
  setSocket(net: NetSocket, head: Buffer): void {
    this.onUpgraded(net, head);
  }
}
