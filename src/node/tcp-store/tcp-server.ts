/** TcpServer: the port of a TCPStore's server. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { TimeoutError, UnsupportedError } from "../../errors.ts";
import type { Logger } from "../../options.ts";
import { toInt64 } from "../../store/counter.ts";
import { LiveSpace } from "../../store/live-space.ts";
import { Account } from "../../support/account.ts";
import { startTimer } from "../../support/clock.ts";
import { isLoopback } from "../../support/host.ts";
import { textOf } from "../../support/thrown.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { addressesOf, openAll } from "../doors.ts";
import { KeyServer } from "./key-server.ts";
import { JOINED_KEY, MAX_VALUE_BYTES } from "./queries.ts";
import { Refusals } from "./refusals.ts";
import { CLIENT_LIMITS, type ClientLimits, ServedSocket } from "./served-socket.ts";

/** Most clients of one server. */
const MAX_CLIENTS = 16_384;
/** Most bytes of one server's store, and most that it keeps for its clients besides. */
const MAX_STORE_BYTES = 2 ** 30;
const MAX_CLIENTS_BYTES = 2 ** 30;

/** Where a server listens. */
export interface TcpServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A socket that is bound already, instead. */
  readonly fd?: number | undefined;
  /** Allows a bind beyond loopback. */
  readonly insecure?: boolean;
  /** Bounds where they differ from {@link CLIENT_LIMITS}, and from a gibibyte for the store and another for all clients. */
  readonly limits?: Partial<ServerLimits>;
  /** Hears why a client's connection was closed. */
  readonly logger?: Logger | undefined;
}

interface ServerLimits extends ClientLimits {
  /** Most clients, most bytes of the store, and most that is kept for its clients besides. */
  readonly clients: number;
  readonly storeBytes: number;
  readonly clientsBytes: number;
}

/** A running server, whose store is its own. It does not keep the process running. */
export class TcpServer {
  readonly port: number;
  readonly #space: LiveSpace;
  readonly #doors: readonly Server[];
  readonly #sockets: ReadonlySet<Socket>;

  private constructor(doors: readonly Server[], sockets: ReadonlySet<Socket>, space: LiveSpace) {
    this.#doors = doors;
    this.#sockets = sockets;
    this.#space = space;
    this.port = (doors[0]!.address() as AddressInfo).port;
  }

  /**
   * @throws RangeError if the bind is not safe, or the port is in use, out of reach, or not that of `fd`; UnsupportedError if the
   *   runtime cannot listen at `fd`.
   */
  static async open(options: TcpServerOptions): Promise<TcpServer> {
    const { host, port, fd, insecure = false } = options;
    const limits = {
      ...CLIENT_LIMITS,
      clients: MAX_CLIENTS,
      storeBytes: MAX_STORE_BYTES,
      clientsBytes: MAX_CLIENTS_BYTES,
      ...options.limits,
    };
    const kept = new Account({ name: "this store", limit: limits.storeBytes });
    const space = new LiveSpace({ account: kept, keys: Number.POSITIVE_INFINITY, valueBytes: MAX_VALUE_BYTES });
    const store = new KeyServer(space, new Account({ name: "this server", limit: limits.clientsBytes }));
    const sockets = new Set<Socket>();
    const refusals = new Refusals(options.logger);
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.unref();
      const { remoteAddress } = socket;
      new ServedSocket(socket, store, limits, (reason) => refusals.tell(remoteAddress, reason));
    });
    server.maxConnections = limits.clients;
    server.on("drop", (ends) =>
      refusals.tell(ends?.remoteAddress, `it has ${limits.clients} clients, as many as it takes`),
    );
    const doors = fd === undefined ? await openDoors(server, host, port, insecure) : await openAt(server, fd, port);
    for (const door of doors) door.unref();
    return new TcpServer(doors, sockets, space);
  }

  /**
   * Resolves when so many processes have said that they came.
   * @throws TimeoutError after `timeoutMs`.
   */
  joined(worldSize: number, timeoutMs: number): Promise<void> {
    const count = () => Number(toInt64(decodeUtf8(this.#space.contents.get(JOINED_KEY) ?? new Uint8Array(0))) ?? 0n);
    return new Promise((resolve, reject) => {
      const timer = startTimer(timeoutMs, () => {
        end();
        const seconds = timeoutMs / 1_000;
        const text = `Timed out after ${seconds} seconds waiting for clients. ${count()}/${worldSize} clients joined.`;
        reject(new TimeoutError(text));
      });
      const end = this.#space.until(() => {
        if (count() < worldSize) return JOINED_KEY;
        timer.cancel();
        resolve();
        return null;
      });
    });
  }

  /** Closes the port and every connection. */
  async close(): Promise<void> {
    const closed = this.#doors.map((door) => new Promise((resolve) => door.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}

/** Whoever reaches the port has the store: beyond this machine only where the caller says so. */
async function openDoors(server: Server, host: string, port: number, insecure: boolean): Promise<Server[]> {
  const addresses = await addressesOf(host);
  if (addresses.length === 0) {
    throw new RangeError(
      `TcpStore.listen: ${host} is no name of which this machine knows an address: choose another host`,
    );
  }
  if (!insecure && !addresses.every(isLoopback)) {
    throw new RangeError(
      `TcpStore.listen: binding ${host} lets other machines connect, and a TCPStore has no secret: pass insecure: true on a ` +
        "network where everyone is trusted",
    );
  }
  return openAll(server, host, addresses, port);
}

async function openAt(server: Server, fd: number, port: number): Promise<Server[]> {
  const refusal = `TcpStore.listen: masterListenFd ${fd} is no socket at which this runtime can listen`;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ fd }, resolve);
    });
  } catch (cause) {
    throw new UnsupportedError(`${refusal}: ${textOf(cause)}`, { cause });
  }
  const bound = server.address();
  if (bound === null || typeof bound === "string") {
    server.close();
    throw new UnsupportedError(refusal);
  }
  if (port === 0 || port === bound.port) return [server];
  server.close();
  throw new RangeError(`TcpStore.listen: masterListenFd ${fd} is bound to port ${bound.port}, and port says ${port}`);
}
