/**
 * A part of common memory as a file: links through files (link/files/) run over it as they are, and a copy takes no call of
 * the kernel's.
 */
import type { CommonMemory, MemoryFile } from "../../platform.ts";

/** The part of the window that has the file. */
export interface MappedFileParts {
  /** The window's bytes. */
  window: Uint8Array;
  common: CommonMemory;
  /** Where the file is in the window. */
  at: number;
  byteLength: number;
  /** Called once. */
  onClose(): void;
}

/** See the file's head. */
export class MappedFile implements MemoryFile {
  readonly #parts: MappedFileParts;
  readonly #bytes: Uint8Array;
  /** A change of it is a barrier: what was asked for before it is done before what comes after it. */
  readonly #barrier = new Int32Array(new SharedArrayBuffer(4));
  #isOpen = true;

  constructor(parts: MappedFileParts) {
    const { window, at, byteLength } = parts;
    this.#parts = parts;
    this.#bytes = window.subarray(at, at + byteLength);
  }

  read(target: Uint8Array, position: number): void {
    Atomics.exchange(this.#barrier, 0, 1);
    target.set(this.#part(position, target.byteLength));
    Atomics.exchange(this.#barrier, 0, 1);
  }

  write(bytes: Uint8Array, position: number): void {
    Atomics.exchange(this.#barrier, 0, 1);
    this.#part(position, bytes.byteLength).set(bytes);
    Atomics.exchange(this.#barrier, 0, 1);
  }

  reserve(byteLength: number): void {
    this.#part(0, byteLength);
    this.#parts.common.reserve(this.#parts.at, byteLength);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#parts.onClose();
  }

  /** @throws RangeError if that is not all in the file. */
  #part(position: number, byteLength: number): Uint8Array {
    if (!(position >= 0 && position + byteLength <= this.#bytes.byteLength)) {
      throw new RangeError(
        `${byteLength} bytes from ${position} on are not all in a file of ${this.#bytes.byteLength}`,
      );
    }
    return this.#bytes.subarray(position, position + byteLength);
  }
}
