/** Greets whoever has connected: asks for the proof, and counts those that have not given it yet. */
import type { Socket as NetSocket, Server } from "node:net";
import { admit, MAX_HELLO_BYTES } from "../hub/admission.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import type { Socket } from "../link/link.ts";
import { DEFAULT_PEER_TIMEOUT_MS, type Logger } from "../options.ts";
import type { Hello, Welcome } from "../wire/handshake.ts";
import { type Connection, NodeSocket } from "./socket.ts";

/** Most bytes a socket may send before it is authenticated: a hello with its framing, and as much again (S8). */
const MAX_PENDING_BYTES = 2 * MAX_HELLO_BYTES;

/** How newcomers are greeted; absent fields have safe defaults. */
export interface GreetOptions {
  token?: string | undefined;
  maxMessageBytes?: number | undefined;
  helloTimeoutMs?: number | undefined;
  silenceMs?: number | undefined;
  logger?: Logger | undefined;
}

/**
 * The connections of a server that have not proved anything yet, counted from the moment at which they connect: TLS and HTTP are
 * spoken before the proof. Where one address has too many of them, its oldest goes, not the one that comes: members behind the
 * same address prove themselves at once, and whoever only holds connections open gives way to them.
 */
export class Strangers {
  readonly #maxPerAddress: number;
  /** By address and then by port, the oldest first. */
  readonly #byAddress = new Map<string, Map<number, NetSocket>>();

  constructor(maxPerAddress: number) {
    this.#maxPerAddress = maxPerAddress;
  }

  get size(): number {
    let size = 0;
    for (const sockets of this.#byAddress.values()) size += sockets.size;
    return size;
  }

  /** Counts whoever connects to `server`. */
  watch(server: Server): void {
    server.on("connection", (socket) => this.#add(socket));
  }

  /** The connection is no stranger's any more. `socket` may be another one over the same connection, such as that of TLS. */
  forget({ remoteAddress = "", remotePort = 0 }: Pick<NetSocket, "remoteAddress" | "remotePort">): void {
    const sockets = this.#byAddress.get(remoteAddress);
    sockets?.delete(remotePort);
    if (sockets?.size === 0) this.#byAddress.delete(remoteAddress);
  }

  /** Ends all of them. */
  closeAll(): void {
    for (const sockets of this.#byAddress.values()) for (const socket of sockets.values()) socket.destroy();
  }

  #add(socket: NetSocket): void {
    const { remoteAddress = "", remotePort = 0 } = socket;
    const sockets = this.#byAddress.get(remoteAddress) ?? new Map<number, NetSocket>();
    this.#byAddress.set(remoteAddress, sockets);
    sockets.set(remotePort, socket);
    socket.once("close", () => {
      if (sockets.get(remotePort) === socket) this.forget({ remoteAddress, remotePort });
    });
    const [oldest] = sockets.values();
    if (sockets.size > this.#maxPerAddress) oldest?.destroy();
  }
}

/** Asks a socket that has just opened for its proof; `onAdmitted` is called when it has given it. */
export function greet(
  net: Connection,
  head: Uint8Array,
  options: GreetOptions,
  accept: (hello: Hello, socket: Socket) => Welcome,
  onAdmitted: () => void,
): void {
  const maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const socket = new NodeSocket(net, head, { side: "server", maxMessageBytes, untrustedBytes: MAX_PENDING_BYTES });
  admit(socket, {
    token: options.token,
    helloTimeoutMs: options.helloTimeoutMs,
    accept: (hello) => {
      // Frames may come before the new owner listens: they wait for it.
      socket.release();
      socket.watch(options.silenceMs ?? DEFAULT_PEER_TIMEOUT_MS);
      return accept(hello, socket);
    },
    onSettled: (isAdmitted) => {
      socket.trust();
      if (isAdmitted) onAdmitted();
    },
    onError: (error) => options.logger?.error("a connection could not be accepted", error),
  });
}
