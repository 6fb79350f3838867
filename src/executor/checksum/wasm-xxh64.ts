/**
 * XXH64 in WebAssembly (wasm/xxh64.ts). Bytes inside its memory, which is the cpu executor's, are summed where they lie;
 * others pass through it in blocks that stay in the cache.
 */
import { CHECKSUM_BYTES, type Checksums, type RunningChecksum } from "../../wire/checksum.ts";
import type { WasmMemory } from "../cpu/wasm-memory.ts";
import { type Exports, instantiate } from "../cpu/wasm-module.ts";
import { MODULE } from "./wasm-xxh64.generated.ts";

/** Bytes that pass through the memory at a time. */
const BLOCK_BYTES = 32_768;
/** A state, with its hash behind it (wasm/xxh64.ts has the layout). */
const STATE_BYTES = 80;

type Begin = (state: number, seedLow: number, seedHigh: number) => void;
type Update = (state: number, at: number, bytes: number) => void;
type Digest = (state: number) => void;

/** See the file's head. */
export class WasmXxh64 implements Checksums {
  readonly description = "wasm";
  readonly #memory: WasmMemory;
  readonly #begin: Begin;
  readonly #update: Update;
  readonly #digest: Digest;
  /** The state of the sum under way, its hash, and the block. */
  readonly #stateAt: number;
  readonly #state: Uint8Array;
  readonly #hash: Uint8Array;
  readonly #blockAt: number;
  readonly #block: Uint8Array;
  /** Whose state lies there: that of the sum in pieces that was last added to; null for nobody's. */
  #running: WasmSum | null = null;

  private constructor(memory: WasmMemory, exports: Exports, at: number) {
    this.#memory = memory;
    this.#begin = exports.begin as Begin;
    this.#update = exports.update as Update;
    this.#digest = exports.digest as Digest;
    this.#blockAt = at;
    this.#block = memory.bytesAt(at, BLOCK_BYTES);
    this.#stateAt = at + BLOCK_BYTES;
    this.#state = memory.bytesAt(this.#stateAt, STATE_BYTES);
    this.#hash = memory.bytesAt(this.#stateAt + STATE_BYTES, CHECKSUM_BYTES);
  }

  /** Compiles the module to work in `memory`; null if that has no room. */
  static async load(memory: WasmMemory): Promise<WasmXxh64 | null> {
    const exports = await instantiate(MODULE, memory);
    const at = memory.allocate(BLOCK_BYTES + STATE_BYTES + CHECKSUM_BYTES);
    return at < 0 ? null : new WasmXxh64(memory, exports, at);
  }

  write(bytes: Uint8Array, seedLow: number, seedHigh: number, target: Uint8Array, at: number): void {
    this.#make(null);
    this.#begin(this.#stateAt, seedLow, seedHigh);
    this.#add(bytes);
    this.#end(target, at);
  }

  begin(): RunningChecksum {
    const sum: WasmSum = new WasmSum(
      (bytes) => {
        this.#make(sum);
        this.#add(bytes);
      },
      (target, at) => {
        this.#make(sum);
        this.#end(target, at);
        this.#running = null;
      },
    );
    this.#make(null);
    this.#running = sum;
    this.#begin(this.#stateAt, 0, 0);
    return sum;
  }

  /** Makes the state that of `sum`. */
  #make(sum: WasmSum | null): void {
    if (sum === this.#running) return;
    if (this.#running) this.#running.kept = this.#state.slice();
    if (sum?.kept) this.#state.set(sum.kept);
    this.#running = sum;
  }

  #add(bytes: Uint8Array): void {
    const { byteLength } = bytes;
    const address = this.#memory.addressOf(bytes.buffer, bytes.byteOffset);
    if (address >= 0) {
      this.#update(this.#stateAt, address, byteLength);
      return;
    }
    for (let start = 0; start < byteLength; start += BLOCK_BYTES) {
      const part = byteLength <= BLOCK_BYTES ? bytes : bytes.subarray(start, start + BLOCK_BYTES);
      this.#block.set(part);
      this.#update(this.#stateAt, this.#blockAt, part.byteLength);
    }
  }

  #end(target: Uint8Array, at: number): void {
    this.#digest(this.#stateAt);
    target.set(this.#hash, at);
  }
}

/** A sum in pieces. */
class WasmSum implements RunningChecksum {
  readonly add: (bytes: Uint8Array) => void;
  readonly end: (target: Uint8Array, at: number) => void;
  /** Its state, while another's lies in the memory. */
  kept: Uint8Array | null = null;

  constructor(add: (bytes: Uint8Array) => void, end: (target: Uint8Array, at: number) => void) {
    this.add = add;
    this.end = end;
  }
}
