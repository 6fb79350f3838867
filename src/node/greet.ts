/** Greets whoever has connected: asks for the proof, and counts those that have not given it yet. */
import type { Socket as NetSocket, Server } from "node:net";
import { type Accept, admit, MAX_HELLO_BYTES } from "../hub/admission.ts";
import type { Doorkeeper } from "../hub/doorkeeper.ts";
import type { HubEvent } from "../hub/events.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import { DEFAULT_PEER_TIMEOUT_MS, type Logger } from "../options.ts";
import { type Connection, NodeSocket } from "./socket.ts";

/** Most bytes a socket may send before it is authenticated: a hello with its framing, and as much again (S8). */
const MAX_PENDING_BYTES = 2 * MAX_HELLO_BYTES;

/** How newcomers are greeted; absent fields have safe defaults. */
export interface GreetOptions {
  doorkeeper: Doorkeeper;
  maxMessageBytes?: number | undefined;
  helloTimeoutMs?: number | undefined;
  silenceMs?: number | undefined;
  /** Their connections have time slices. */
  isSliced?: boolean | undefined;
  logger?: Logger | undefined;
  /** Hears who joins, and who is refused. */
  onEvent?: ((event: HubEvent) => void) | undefined;
}

/**
 * The connections of a server that have not proved anything yet, counted from the moment at which they connect: TLS and HTTP are
 * spoken before the proof. Where one address has too many of them, its oldest goes, not the one that comes: members behind the
 * same address prove themselves at once, and whoever only holds connections open gives way to them.
 */
export class Strangers {
  readonly #maxPerAddress: number;
  readonly #onCrowd: (address: string) => void;
  /** How to end each connection, by the address for which it counts, and by the connection's name: the oldest first. */
  readonly #byAddress = new Map<string, Map<string, () => void>>();
  /** The address for which each connection counts. */
  readonly #addresses = new Map<string, string>();

  /** `onCrowd` is called with the address of one that has to go. */
  constructor(maxPerAddress: number, onCrowd: (address: string) => void) {
    this.#maxPerAddress = maxPerAddress;
    this.#onCrowd = onCrowd;
  }

  get size(): number {
    return this.#addresses.size;
  }

  /** Counts whoever connects to `server`. */
  watch(server: Server): void {
    server.on("connection", (socket: NetSocket) => {
      const forget = this.add(socket, () => socket.destroy());
      socket.once("close", forget);
    });
  }

  /**
   * Counts a connection for `address`; it is as old as it was if it is counted there already, and `end` ends it from now on.
   * Returns how to forget that.
   */
  add(ends: Ends, end: () => void, address: string = ends.remoteAddress ?? ""): () => void {
    const name = nameOf(ends);
    if (this.#addresses.get(name) !== address) this.forget(ends);
    const counted = this.#byAddress.get(address) ?? new Map<string, () => void>();
    this.#byAddress.set(address, counted);
    this.#addresses.set(name, address);
    counted.set(name, end);
    if (counted.size > this.#maxPerAddress) this.#endOldest(address, counted);
    return () => {
      if (counted.get(name) === end) this.forget(ends);
    };
  }

  /** The connection is no stranger's any more. */
  forget(ends: Ends): void {
    this.#forget(nameOf(ends));
  }

  /** Ends all of them. */
  closeAll(): void {
    for (const counted of [...this.#byAddress.values()]) for (const end of [...counted.values()]) end();
  }

  #endOldest(address: string, counted: Map<string, () => void>): void {
    for (const [oldest, end] of counted) {
      this.#forget(oldest);
      end();
      this.#onCrowd(address);
      return;
    }
  }

  #forget(name: string): void {
    const address = this.#addresses.get(name);
    if (address === undefined) return;
    this.#addresses.delete(name);
    const counted = this.#byAddress.get(address);
    counted?.delete(name);
    if (counted?.size === 0) this.#byAddress.delete(address);
  }
}

/** By which a connection is known, also where TLS is spoken over it or another socket has taken it over. */
export type Ends = Pick<NetSocket, "remoteAddress" | "remotePort">;

const nameOf = ({ remoteAddress = "", remotePort = 0 }: Ends) => `${remoteAddress} ${remotePort}`;

/** Asks a socket that has just opened for its proof; `onSettled` is called when it has given it, or has been refused. */
export function greet(
  net: Connection,
  head: Uint8Array,
  address: string,
  options: GreetOptions,
  accept: Accept,
  onSettled: () => void,
): NodeSocket {
  const maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const { isSliced } = options;
  const bounds = { maxMessageBytes, untrustedBytes: MAX_PENDING_BYTES, isSliced };
  const socket = new NodeSocket(net, head, { side: "server", ...bounds });
  admit(socket, {
    doorkeeper: options.doorkeeper,
    helloTimeoutMs: options.helloTimeoutMs,
    accept: (hello, _socket, maxBytesInFlight) => {
      // Frames may come before the new owner listens: they wait for it.
      socket.release();
      socket.watch(options.silenceMs ?? DEFAULT_PEER_TIMEOUT_MS);
      const welcome = accept(hello, socket, maxBytesInFlight);
      const { group, purpose } = hello;
      const as = purpose === "store" ? "store" : "rank";
      options.onEvent?.({ event: "joined", group, rank: welcome.rank, as, address });
      return welcome;
    },
    onSettled: () => {
      socket.trust();
      onSettled();
    },
    onRefused: (kind, reason) => options.onEvent?.({ event: "refused", kind, address, reason }),
    onError: (error) => options.logger?.error("a connection could not be accepted", error),
  });
  return socket;
}
