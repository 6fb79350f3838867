/**
 * Packing by loops over typed arrays, which are made once: for tensors that do not all lie in WebAssembly memory
 * (table-packing.ts is for those that do).
 */
import { bytesPerElement } from "../../../types.ts";
import type { Packing } from "../../executor.ts";
import type { HostSpan } from "../host-span.ts";

/** Up to so many words or bytes a loop is faster than a call that copies. */
const FEW = 64;

/** See the file's head. */
export class LoopPacking implements Packing {
  readonly #parts: readonly (Uint32Array | Uint8Array)[];
  readonly #lengths: readonly number[];
  readonly #starts: readonly number[];
  /** Words, if all parts are whole words, else bytes. */
  readonly #lane: "u32" | "u8";

  constructor(parts: readonly HostSpan[], starts: readonly number[]) {
    const startsInBytes = parts.map(({ dtype }, i) => starts[i]! * bytesPerElement(dtype));
    const numbers = parts.flatMap(({ byteOffset, byteLength }) => [byteOffset, byteLength]);
    const inWords = [...numbers, ...startsInBytes].every((bytes) => bytes % 4 === 0);
    const lane = inWords ? "u32" : "u8";
    this.#lane = lane;
    this.#parts = parts.map((part) => part.lanes(lane));
    this.#lengths = this.#parts.map(({ length }) => length);
    this.#starts = inWords ? startsInBytes.map((bytes) => bytes / 4) : startsInBytes;
  }

  pack(whole: HostSpan): void {
    const into = whole.lanes(this.#lane);
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#part(i);
      const start = this.#starts[i]!;
      if (part.length > FEW) into.set(part, start);
      else for (let at = 0; at < part.length; at++) into[start + at] = part[at]!;
    }
  }

  unpack(whole: HostSpan): void {
    const from = whole.lanes(this.#lane);
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#part(i);
      const start = this.#starts[i]!;
      if (part.length > FEW) part.set(from.subarray(start, start + part.length));
      else for (let at = 0; at < part.length; at++) part[at] = from[start + at]!;
    }
  }

  /** A loop over an array whose memory is gone would do nothing, and say nothing. */
  #part(index: number): Uint32Array | Uint8Array {
    const part = this.#parts[index]!;
    // A compiled loop may see the old length of an array that was detached; the buffer tells.
    if (part.length === this.#lengths[index] && part.buffer.byteLength >= part.byteLength) return part;
    throw new TypeError("a tensor's buffer was detached or made shorter while the call had it");
  }
}
