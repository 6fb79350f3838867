/**
 * Packing in WebAssembly memory: a kernel (wasm/runs.ts) copies all parts, by a table of where they lie that is made once.
 */
import { bytesPerElement } from "../../../types.ts";
import type { Packing } from "../../executor.ts";
import { type HostSpan, OUTSIDE } from "../host-span.ts";
import type { WasmMemory } from "../wasm-memory.ts";
import type { Exports } from "../wasm-module.ts";
import { LoopPacking } from "./loop-packing.ts";

/** Words of a table's entry. */
const ENTRY = 3;
/** Most entries that one call of a kernel gets. */
const MOST_ENTRIES = 512;

type Copy = (table: number, runs: number, whole: number) => void;

/** The kernels that copy by a table, and the place in their memory where they find it. */
export class RunKernels {
  readonly #gather: Copy;
  readonly #scatter: Copy;
  readonly #tableAt: number;
  readonly #table: Uint32Array;

  constructor(memory: WasmMemory, exports: Exports) {
    this.#gather = exports.gather as Copy;
    this.#scatter = exports.scatter as Copy;
    const bytes = MOST_ENTRIES * ENTRY * Uint32Array.BYTES_PER_ELEMENT;
    this.#tableAt = memory.allocate(bytes);
    this.#table = new Uint32Array(memory.bufferTo(this.#tableAt + bytes), this.#tableAt, MOST_ENTRIES * ENTRY);
  }

  /** Copies between `parts` and a whole; see {@link Executor.packing}. */
  packing(parts: readonly HostSpan[], starts: readonly number[]): Packing {
    if (parts.some(({ pointer }) => pointer === OUTSIDE)) return new LoopPacking(parts, starts);
    const table = Uint32Array.from(
      parts.flatMap(({ pointer, dtype, byteLength }, i) => [pointer, starts[i]! * bytesPerElement(dtype), byteLength]),
    );
    // There may have been no room for the whole.
    const outside = () => new LoopPacking(parts, starts);
    return {
      pack: (whole: HostSpan) =>
        whole.pointer === OUTSIDE ? outside().pack(whole) : this.#copy(this.#gather, table, whole.pointer),
      unpack: (whole: HostSpan) =>
        whole.pointer === OUTSIDE ? outside().unpack(whole) : this.#copy(this.#scatter, table, whole.pointer),
    };
  }

  #copy(kernel: Copy, table: Uint32Array, whole: number): void {
    for (let at = 0; at < table.length; at += this.#table.length) {
      const entries = table.length <= this.#table.length ? table : table.subarray(at, at + this.#table.length);
      this.#table.set(entries);
      kernel(this.#tableAt, entries.length / ENTRY, whole);
    }
  }
}
