/** A TCP proxy that delays, slows, cuts and damages what crosses it. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** How the way behind a proxy is. Bytes are counted over all connections, in both directions, from the first that crosses. */
export interface Way {
  /** Milliseconds that each piece takes longer. */
  readonly delayMs?: number;
  /** The most that crosses in a second, in each direction of each connection. */
  readonly bytesPerSecond?: number;
  /** The connection on which this byte crosses is cut there. */
  readonly cutAt?: number;
  /** This byte is changed: `change`, from 1 to 255, is XORed to it. */
  readonly flipAt?: number;
  readonly change?: number;
}

const PIECE_BYTES = 16_384;
const open = new Set<UnreliableProxy>();

/** Ends all that are open. */
export function closeProxies(): void {
  for (const proxy of open) proxy.close();
}

/** See the file's head. */
export class UnreliableProxy {
  /** When the fault happened, as Date.now() gives it; null before. */
  faultAt: number | null = null;
  readonly port: number;
  readonly #way: Way;
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #crossed = 0;

  private constructor(server: Server, port: number, targetPort: number, way: Way) {
    this.#server = server;
    this.port = port;
    this.#targetPort = targetPort;
    this.#way = way;
    server.on("connection", (near) => this.#join(near));
    open.add(this);
  }

  /** Stands in front of a port of this host, which need not be open yet. */
  static async open(targetPort: number, way: Way): Promise<UnreliableProxy> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy has no port");
    return new UnreliableProxy(server, address.port, targetPort, way);
  }

  close(): void {
    open.delete(this);
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(near: Socket): void {
    const far = connect({ port: this.#targetPort, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    void this.#carry(near, far);
    void this.#carry(far, near);
  }

  /** Piece by piece: the next is read when this one may cross, so that a slow way holds its sender back. */
  async #carry(from: Socket, to: Socket): Promise<void> {
    const { delayMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = this.#way;
    let freeAt = 0;
    try {
      for await (const chunk of from) {
        for (let start = 0; start < chunk.byteLength; start += PIECE_BYTES) {
          const piece = (chunk as Buffer).subarray(start, start + PIECE_BYTES);
          freeAt = Math.max(freeAt, performance.now()) + (piece.byteLength * 1_000) / bytesPerSecond;
          const wait = freeAt - performance.now();
          if (wait > 1) await after(wait);
          if (delayMs === 0) this.#cross(piece, from, to);
          else setTimeout(() => this.#cross(piece, from, to), delayMs);
        }
      }
      setTimeout(() => to.end(), delayMs);
    } catch {
      // The connection was cut, here or by its ends: `close` of #join ends the other half.
    }
  }

  #cross(piece: Buffer, from: Socket, to: Socket): void {
    if (to.destroyed) return;
    const { cutAt, flipAt, change = 1 } = this.#way;
    const start = this.#crossed;
    this.#crossed += piece.byteLength;
    const isHere = (at: number | undefined) => at !== undefined && at >= start && at < this.#crossed;
    if (isHere(cutAt)) {
      this.faultAt = Date.now();
      // A reset, as a machine on the way sends it, and no polite end.
      from.resetAndDestroy();
      to.resetAndDestroy();
      return;
    }
    if (isHere(flipAt)) {
      piece[flipAt! - start]! ^= change;
      this.faultAt = Date.now();
    }
    to.write(piece);
  }
}

const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
