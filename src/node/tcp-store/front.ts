/**
 * Front: one port for a hub and a TCPStore. The first byte of a connection tells them apart: a query of a TCPStore begins with
 * its number, all of which are below the letters with which an HTTP request begins.
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "../../options.ts";
import type { Strangers } from "../greet.ts";
import type { KeyServer } from "./key-server.ts";
import { FORMS } from "./queries.ts";
import { Refusals } from "./refusals.ts";
import { CLIENT_LIMITS, ServedSocket } from "./served-socket.ts";

/** Most clients of the store. */
const MAX_CLIENTS = 4_096;

/** A server that hands each connection to `http` or to `store`. */
export class Front {
  readonly server: Server;
  readonly #http: HttpServer;
  readonly #store: KeyServer;
  readonly #firstByteMs: number;
  readonly #strangers: Strangers;
  readonly #refusals: Refusals;
  /** Connections that have said nothing, and those to the store. */
  readonly #silent = new Set<Socket>();
  readonly #clients = new Map<Socket, ServedSocket>();

  /** A connection that has said nothing for `firstByteMs` is closed. */
  constructor(
    http: HttpServer,
    store: KeyServer,
    firstByteMs: number,
    strangers: Strangers,
    logger: Logger | undefined,
  ) {
    this.#http = http;
    this.#store = store;
    this.#firstByteMs = firstByteMs;
    this.#strangers = strangers;
    this.#refusals = new Refusals(logger);
    // As a server of node:http is made: the request of a client that has closed its half is answered.
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#greet(socket));
  }

  /** Closes every connection that is not the hub's. */
  closeConnections(): void {
    for (const socket of [...this.#silent, ...this.#clients.keys()]) socket.destroy();
  }

  #greet(socket: Socket): void {
    this.#silent.add(socket);
    const timer = setTimeout(() => {
      if (this.#maySayNothing(socket)) return;
      forget();
      socket.destroy();
    }, this.#firstByteMs).unref();
    const forget = () => {
      clearTimeout(timer);
      this.#silent.delete(socket);
    };
    const fail = () => socket.destroy();
    socket.on("error", fail);
    socket.once("close", forget);
    socket.once("end", fail);
    socket.once("data", (bytes: Buffer) => {
      forget();
      socket.pause();
      socket.off("end", fail);
      socket.unshift(bytes);
      if (bytes[0]! < FORMS.length) this.#serve(socket);
      else {
        socket.off("error", fail);
        this.#http.emit("connection", socket);
      }
      process.nextTick(() => socket.resume());
    });
  }

  /** The store has no secret: whoever speaks to it is a client. */
  #serve(socket: Socket): void {
    const { remoteAddress } = socket;
    if (this.#clients.size >= MAX_CLIENTS) {
      this.#refusals.tell(remoteAddress, `it has ${MAX_CLIENTS} clients, as many as it takes`);
      socket.destroy();
      return;
    }
    this.#strangers.forget(socket);
    socket.unref();
    socket.on("end", () => socket.end());
    const onClosed = (reason: string) => this.#refusals.tell(remoteAddress, reason);
    this.#clients.set(socket, new ServedSocket(socket, this.#store, CLIENT_LIMITS, onClosed));
    socket.once("close", () => this.#clients.delete(socket));
  }

  /** A client of PyTorch 1.x has a second connection, on which it says nothing; to close it would end the process. */
  #maySayNothing({ remoteAddress }: Socket): boolean {
    const fromThere = (socket: Socket) => socket.remoteAddress === remoteAddress;
    const old = [...this.#clients].filter(([socket, { isOld }]) => isOld && fromThere(socket)).length;
    return [...this.#silent].filter(fromThere).length <= old;
  }
}
