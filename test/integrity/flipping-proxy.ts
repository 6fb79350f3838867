/** A TCP proxy that changes one byte of what crosses it, behind the upgrade to a WebSocket. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** "up" is towards the address behind the proxy. */
export type Direction = "up" | "down";

/** Which byte of which connection changes, and how: `change` is XORed to it. */
export interface Flip {
  readonly connection: number;
  readonly direction: Direction;
  readonly at: number;
  readonly change: number;
}

/** Bytes that crossed one connection behind the upgrade. */
export type Crossed = Record<Direction, number>;

/** The first bytes after these are WebSocket frames, both ways. */
const UPGRADED = Buffer.from("\r\n\r\n");

/** See the file's head. Connections are numbered in the order in which they come. */
export class FlippingProxy {
  /** The port behind it. */
  target = 0;
  flip: Flip | null = null;
  /** Has the byte crossed? */
  flipped = false;
  readonly crossed: Crossed[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (near) => this.#join(near));
  }

  static async open(): Promise<FlippingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FlippingProxy(server);
  }

  get url(): string {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy is closed");
    return `ws://127.0.0.1:${address.port}`;
  }

  /** Ends what crosses it, and numbers connections anew. */
  reset(flip: Flip | null): void {
    for (const socket of this.#sockets) socket.destroy();
    this.crossed.length = 0;
    this.flip = flip;
    this.flipped = false;
  }

  close(): void {
    this.reset(null);
    this.#server.close();
  }

  #join(near: Socket): void {
    const far = connect(this.target, "127.0.0.1");
    const crossed: Crossed = { up: 0, down: 0 };
    const connection = this.crossed.push(crossed) - 1;
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
    this.#carry(near, far, connection, "up", crossed);
    this.#carry(far, near, connection, "down", crossed);
  }

  #carry(from: Socket, to: Socket, connection: number, direction: Direction, crossed: Crossed): void {
    let upgraded = false;
    from.on("data", (chunk: Buffer) => {
      let start = 0;
      if (!upgraded) {
        const end = chunk.indexOf(UPGRADED);
        upgraded = end >= 0;
        start = upgraded ? end + UPGRADED.byteLength : chunk.byteLength;
      }
      const { flip } = this;
      const at = flip?.connection === connection && flip.direction === direction ? flip.at - crossed[direction] : -1;
      if (flip && at >= 0 && start + at < chunk.byteLength) {
        chunk[start + at]! ^= flip.change;
        this.flipped = true;
      }
      crossed[direction] += chunk.byteLength - start;
      to.write(chunk);
    });
    from.on("end", () => to.end());
  }
}
