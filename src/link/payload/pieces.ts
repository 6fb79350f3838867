/** Pieces: a message that is collected until it is whole. */
import type { Account } from "../../support/account.ts";
import { FragmentsPayload } from "./fragments.ts";

/** So many pieces of one message are joined, so that many short ones cost little more than their bytes. */
const JOINED_PIECES = 512;

/** What a piece costs beyond its bytes. */
const PIECE_BYTES = 128;

/** See the file's head. */
export class Pieces {
  readonly #account: Account | null;
  #charged = 0;
  #pieces: Uint8Array[] = [];
  /** How many of them are joined ones. They stand first. */
  #joined = 0;

  /** `account` is charged with a message that is not whole. */
  constructor(account: Account | null = null) {
    this.#account = account;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** `bytes` must stay valid. */
  add(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#pieces.push(bytes);
    this.#charge(bytes.byteLength + PIECE_BYTES);
    if (this.#pieces.length - this.#joined < JOINED_PIECES) return;
    this.#pieces.push(new FragmentsPayload(this.#pieces.splice(this.#joined)).toBytes());
    this.#joined += 1;
    this.#charge(-JOINED_PIECES * PIECE_BYTES);
  }

  /** All of them, after which there are none. */
  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#joined = 0;
    this.#charge(-this.#charged);
    return pieces;
  }

  #charge(bytes: number): void {
    this.#charged += bytes;
    this.#account?.charge(bytes);
  }
}
