/**
 * The kernels that fold many operands in one pass (wasm/many.ts). The cpu executor loads them when a fold first wants
 * them; a page whose hub does the folding never does.
 */
import { DATA_TYPES, type DataType } from "../../types.ts";
import { type HostSpan, OUTSIDE } from "./host-span.ts";
import type { FoldName } from "./kernels.ts";
import { MODULE } from "./wasm-many.generated.ts";
import type { WasmMemory } from "./wasm-memory.ts";
import { type Exports, foldKernels, instantiate } from "./wasm-module.ts";

/** Most addresses of one fold. */
const TABLE_LENGTH = 256;
/** The least that a kernel takes, of any dtype. */
const MINIMUM_BYTES = 64;

type Many = (table: number, sources: number, targets: number, bytes: number) => void;

/** See the file's head. */
export class ManyKernels {
  readonly #kernels: ReadonlyMap<DataType, Readonly<Record<FoldName, Many>>>;
  /** Where `fold` writes its addresses. */
  readonly #tableAt: number;
  readonly #table: Uint32Array;

  private constructor(memory: WasmMemory, exports: Exports) {
    this.#kernels = new Map(DATA_TYPES.map((dtype) => [dtype, foldKernels<Many>(exports, dtype)]));
    this.#tableAt = memory.allocate(TABLE_LENGTH * Uint32Array.BYTES_PER_ELEMENT);
    this.#table = new Uint32Array(memory.bufferTo(this.#tableAt), this.#tableAt, TABLE_LENGTH);
  }

  /** Compiles the kernels to work in `memory`. */
  static async load(memory: WasmMemory): Promise<ManyKernels> {
    return new ManyKernels(memory, await instantiate(MODULE, memory));
  }

  /**
   * Every target = the left fold of the sources, in one pass: true. False, and nothing is done, if a span is short or
   * lies outside the memory, or if they are too many.
   */
  fold(name: FoldName, targets: readonly HostSpan[], sources: readonly HostSpan[]): boolean {
    const [target] = targets;
    const kernels = target && this.#kernels.get(target.dtype);
    if (!kernels || target.byteLength < MINIMUM_BYTES) return false;
    if (targets.length + sources.length > TABLE_LENGTH) return false;
    let at = 0;
    for (const { pointer } of sources) {
      if (pointer === OUTSIDE) return false;
      this.#table[at++] = pointer;
    }
    for (const { pointer } of targets) {
      if (pointer === OUTSIDE) return false;
      this.#table[at++] = pointer;
    }
    kernels[name](this.#tableAt, sources.length, targets.length, target.byteLength);
    return true;
  }
}
