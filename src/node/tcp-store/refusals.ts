/** Refusals: a TCPStore's wire has no words for an error, so its server's log says why it closed a client's connection. */
import type { Logger } from "../../options.ts";

/** See the file's head. Of very many it tells the first, the second, the fourth, and so on. */
export class Refusals {
  readonly #logger: Logger | undefined;
  #count = 0;

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** The connection of a client at `address` is closed. */
  tell(address: string | undefined, reason: string): void {
    this.#count++;
    if (!Number.isInteger(Math.log2(this.#count))) return;
    const times = this.#count === 1 ? "" : `; ${this.#count} were closed so far`;
    this.#logger?.warn(`the TCPStore's server closed the connection of a client at ${address}: ${reason}${times}`);
  }
}
