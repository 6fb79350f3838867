/** MessageCollector: collects each message of a connection without checksums until it is whole. */
import type { Account } from "../../support/account.ts";
import type { ByteSink } from "../link.ts";
import { Pieces } from "./pieces.ts";

/** See the file's head. */
export class MessageCollector implements ByteSink {
  readonly #onMessage: (fragments: readonly Uint8Array[]) => void;
  readonly #pieces: Pieces;
  readonly #copy: (bytes: Uint8Array) => Uint8Array;

  /** `onMessage` throws nothing. `account` is charged with a message that is not whole, whose bytes `copy` copies. */
  constructor(
    onMessage: (fragments: readonly Uint8Array[]) => void,
    account: Account,
    copy: (bytes: Uint8Array) => Uint8Array,
  ) {
    this.#onMessage = onMessage;
    this.#pieces = new Pieces(account);
    this.#copy = copy;
  }

  room(): null {
    return null;
  }

  push(bytes: Uint8Array, last: boolean): void {
    this.#pieces.add(this.#copy(bytes));
    if (last) this.#onMessage(this.#pieces.take());
  }
}
