/** Greets whoever has connected: asks for the proof, and counts those that have not given it yet. */
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
  logger?: Logger | undefined;
  /** Hears who joins, and who is refused. */
  onEvent?: ((event: HubEvent) => void) | undefined;
}

/** The sockets that are open and not yet authenticated. */
export class Pending {
  readonly sockets = new Set<NodeSocket>();
  readonly #maxPerAddress: number;
  readonly #byAddress = new Map<string, number>();

  constructor(maxPerAddress: number) {
    this.#maxPerAddress = maxPerAddress;
  }

  isFull(address: string): boolean {
    return this.#countOf(address) >= this.#maxPerAddress;
  }

  add(socket: NodeSocket, address: string): void {
    this.sockets.add(socket);
    this.#byAddress.set(address, this.#countOf(address) + 1);
  }

  remove(socket: NodeSocket, address: string): void {
    this.sockets.delete(socket);
    const left = this.#countOf(address) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }

  #countOf(address: string): number {
    return this.#byAddress.get(address) ?? 0;
  }
}

/** Asks a socket that has just opened for its proof. */
export function greet(
  net: Connection,
  head: Uint8Array,
  address: string,
  pending: Pending,
  options: GreetOptions,
  accept: Accept,
): void {
  const maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const socket = new NodeSocket(net, head, { side: "server", maxMessageBytes, untrustedBytes: MAX_PENDING_BYTES });
  pending.add(socket, address);
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
      pending.remove(socket, address);
    },
    onRefused: (kind, reason) => options.onEvent?.({ event: "refused", kind, address, reason }),
    onError: (error) => options.logger?.error("a connection could not be accepted", error),
  });
}
