/** MessageCollector: collects each message of a connection without checksums until it is whole. */
import type { Account } from "../../support/account.ts";
import type { ByteSink } from "../link.ts";
import { Pieces } from "./pieces.ts";

/** See the file's head. */
export class MessageCollector implements ByteSink {
  readonly #onMessage: (fragments: readonly Uint8Array[]) => void;
  readonly #pieces: Pieces;

  /** `onMessage` throws nothing. `account` is charged with a message that is not whole. */
  constructor(onMessage: (fragments: readonly Uint8Array[]) => void, account: Account) {
    this.#onMessage = onMessage;
    this.#pieces = new Pieces(account);
  }

  room(): null {
    return null;
  }

  push(bytes: Uint8Array, last: boolean): void {
    this.#pieces.add(bytes.slice());
    if (last) this.#onMessage(this.#pieces.take());
  }
}
