/** A payload in one piece of memory that its lender uses again. */
import type { Payload } from "../link.ts";

export class BytesPayload implements Payload {
  readonly byteLength: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.byteLength = bytes.byteLength;
  }

  copyTo(target: Uint8Array): void {
    target.set(this.#bytes);
  }

  keep(): Payload {
    return new BytesPayload(this.#bytes.slice());
  }
}
