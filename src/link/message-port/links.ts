/** The message-port links of one rank, to other tabs of its browser. Of two ranks one makes the channel, and gives the other its port. */
import type { PortExchange } from "../../platform.ts";
import { MessagePortLink } from "./link.ts";

/** See the file's head. Tabs are told apart by their seats in the exchange. */
export class MessagePortLinks {
  readonly #exchange: PortExchange;
  readonly #onError: (error: unknown) => void;
  readonly #links = new Map<number, MessagePortLink>();
  /** Ports that came before anyone waited for them, and those who wait. */
  readonly #arrived = new Map<number, MessagePort>();
  readonly #awaited = new Map<number, (port: MessagePort) => void>();

  constructor(exchange: PortExchange, onError: (error: unknown) => void) {
    this.#exchange = exchange;
    this.#onError = onError;
    exchange.onPort = (seat, port) => {
      const waiter = this.#awaited.get(seat);
      if (waiter) waiter(port);
      else this.#arrived.set(seat, port);
    };
  }

  /** The link to the tab at `seat`, for which one of the two `calls`. */
  async link(seat: number, calls: boolean): Promise<MessagePortLink> {
    const link = new MessagePortLink(calls ? this.#call(seat) : await this.#answer(seat), this.#onError);
    this.#links.set(seat, link);
    return link;
  }

  /** The tab at `seat` is gone: its link, if there is one, closes. */
  ended(seat: number): void {
    this.#links.get(seat)?.ended();
  }

  /** No more links are made. Those that there are stay. */
  close(): void {
    for (const port of this.#arrived.values()) port.close();
    this.#exchange.close();
  }

  #call(seat: number): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#exchange.give(seat, port2);
    return port1;
  }

  #answer(seat: number): MessagePort | Promise<MessagePort> {
    const port = this.#arrived.get(seat);
    this.#arrived.delete(seat);
    return port ?? new Promise((resolve) => this.#awaited.set(seat, resolve));
  }
}
