/** Pieces: a message that is collected until it is whole. */
import { FragmentsPayload } from "./fragments.ts";

/** So many pieces of one message are joined, so that many short ones cost little more than their bytes. */
const JOINED_PIECES = 512;

/** See the file's head. */
export class Pieces {
  #pieces: Uint8Array[] = [];
  /** How many of them are joined ones. They stand first. */
  #joined = 0;

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** `bytes` must stay valid. */
  add(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#pieces.push(bytes);
    if (this.#pieces.length - this.#joined < JOINED_PIECES) return;
    this.#pieces.push(new FragmentsPayload(this.#pieces.splice(this.#joined)).toBytes());
    this.#joined += 1;
  }

  /** All of them, after which there are none. */
  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#joined = 0;
    return pieces;
  }
}
