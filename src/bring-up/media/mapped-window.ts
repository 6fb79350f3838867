/** The window of one rank: the part of its WebAssembly memory in whose place common memory is put. */
import type { WasmMemory } from "../../executor/cpu/wasm-memory.ts";
import type { AddressableExecutor } from "../../executor/executor.ts";
import { MappedFile } from "../../link/mapped/mapped-file.ts";
import { blockAt, partAt, type WindowLayout } from "../../link/mapped/window.ts";
import type { CommonMemory, MappedMemory } from "../../platform.ts";
import type { MappedOffer } from "../roster.ts";

/** Bytes of a window: of 4 GiB of WebAssembly memory, the rest is each rank's own. */
export const WINDOW_BYTES = 3 * 2 ** 30;

/** What a rank needs to map memory: the executor works in the heap's memory. */
export interface MappingMeans {
  readonly system: MappedMemory;
  readonly executor: AddressableExecutor;
  readonly heap: WasmMemory;
}

/** See the file's head. */
export class MappedWindow {
  readonly means: MappingMeans;
  /** This rank's own memory, which it offers to the others. */
  readonly offer: { readonly path: string; readonly mark: string };
  /** The window's address in the WebAssembly memory. */
  readonly start: number;
  #common: CommonMemory;
  #isMapped = false;
  #hasTensors = false;
  #isOver = false;

  /** @throws Error that says why there is none. */
  constructor(means: MappingMeans) {
    const { path, mark, memory } = means.system.create(WINDOW_BYTES);
    this.means = means;
    this.offer = { path, mark };
    this.#common = memory;
    this.start = means.heap.addRoom(WINDOW_BYTES);
    if (this.start >= 0) return;
    memory.close();
    throw new Error(`the WebAssembly memory has no room for a window of ${WINDOW_BYTES} bytes`);
  }

  get common(): CommonMemory {
    return this.#common;
  }

  /** The buffer object that has all of the window. */
  get buffer(): ArrayBufferLike {
    return this.means.heap.bufferTo(this.start + WINDOW_BYTES);
  }

  /**
   * Maps the memory that a rank of this host offers, which may be this one.
   * @throws Error that says why it cannot.
   */
  map(offer: MappedOffer): void {
    if ("missing" in offer) throw new Error(offer.missing);
    if (offer.path !== this.offer.path) {
      const theirs = this.means.system.open(offer.path, offer.mark, WINDOW_BYTES);
      this.#common.close();
      this.#common = theirs;
    }
    this.#common.map(this.means.heap.memory, this.start);
    this.#isMapped = true;
  }

  /** A rank's block, as a file. */
  blockOf(layout: WindowLayout, index: number, onClose: () => void): MappedFile {
    const window = new Uint8Array(this.buffer, this.start, WINDOW_BYTES);
    const place = { at: blockAt(layout, index), byteLength: layout.blockBytes };
    return new MappedFile({ window, common: this.#common, ...place, onClose });
  }

  /** From now on this rank's tensors lie in its part. */
  useOwnPart(layout: WindowLayout, index: number): void {
    const at = partAt(layout, index);
    const end = at + layout.partBytes;
    const common = this.#common;
    this.#hasTensors = true;
    this.means.heap.openWindow({
      ownStart: this.start + at,
      ownEnd: this.start + end,
      reserve: (start, byteLength) => common.reserve(start - this.start, byteLength),
      onClosed: () => {
        common.unmap(0, at);
        common.unmap(end, WINDOW_BYTES - end);
      },
      onUnused: () => common.unmap(at, layout.partBytes),
    });
  }

  /**
   * Gives the common memory back: at once where it holds no tensor of this rank, else its own part when the last of them is
   * gone. What lies in the window then is this process's alone.
   */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#common.close();
    if (this.#hasTensors) this.means.heap.closeWindow();
    else {
      if (this.#isMapped) this.#common.unmap(0, WINDOW_BYTES);
      this.means.heap.returnRoom(this.start, WINDOW_BYTES);
    }
  }
}
