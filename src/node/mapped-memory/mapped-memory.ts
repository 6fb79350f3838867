/**
 * Memory that processes of this host have in common: a file in memory without a name (memfd), which each maps over a part of
 * its WebAssembly memory. Its length is sealed, because whoever touches memory behind a file's end is killed. Deno uses it too.
 */
import { randomBytes } from "node:crypto";
import type { CommonMemory, MappedMemory } from "../../platform.ts";
import { waits } from "../memory-files/waits.ts";
import type { Ffi } from "./ffi.ts";
import { Libc } from "./libc.ts";

/** A file of huge pages kills whoever touches it when there are no more of them. */
const MOST_PAGE_BYTES = 65_536;
const MARK_BYTES = 16;
const PATH = /^\/proc\/\d+\/fd\/\d+$/;

/** What there is with this FFI. */
export function mappedMemory(ffi: Ffi): MappedMemory {
  const libc = new Libc(ffi);
  return {
    ffi: ffi.name,
    waits,
    create: (byteLength) => {
      const fd = libc.createSealed(byteLength);
      const mark = randomBytes(MARK_BYTES / 2).toString("hex");
      libc.writeStart(fd, mark);
      return { path: `/proc/${process.pid}/fd/${fd}`, mark, memory: new Memfd(libc, fd, byteLength) };
    },
    open: (path, mark, byteLength) => {
      if (!PATH.test(path)) throw new Error(`${path} is not where common memory is`);
      const fd = libc.open(path);
      try {
        requireSound(libc, fd, byteLength);
        if (libc.readStart(fd, MARK_BYTES) !== mark) throw new Error("it is another memory than its maker told of");
        return new Memfd(libc, fd, byteLength);
      } catch (error) {
        libc.close(fd);
        throw new Error(`${path}: ${(error as Error).message}`);
      }
    },
  };
}

/** @throws Error unless the file is this user's, and as long as it is to be for ever. */
function requireSound(libc: Libc, fd: number, wanted: number): void {
  const { uid, byteLength, blockBytes, isSealed } = libc.statOf(fd);
  if (uid !== libc.uid) throw new Error("it is another user's");
  if (!isSealed) throw new Error("it is not sealed: its length could change");
  if (byteLength !== wanted) throw new Error(`it has ${byteLength} bytes, not ${wanted}`);
  if (blockBytes > MOST_PAGE_BYTES) throw new Error("it has huge pages");
}

class Memfd implements CommonMemory {
  readonly #libc: Libc;
  #fd: number;
  readonly #byteLength: number;
  /** Where it is mapped. */
  #address = 0n;
  /** Of the WebAssembly memory around it: while that lives, the mapping does. */
  #memory: WebAssembly.Memory | null = null;

  constructor(libc: Libc, fd: number, byteLength: number) {
    this.#libc = libc;
    this.#fd = fd;
    this.#byteLength = byteLength;
  }

  reserve(position: number, byteLength: number): void {
    this.#requireInside(position, byteLength);
    if (this.#fd < 0) throw new Error("the memory is closed");
    this.#libc.reserve(this.#fd, position, byteLength);
  }

  map(memory: WebAssembly.Memory, address: number): void {
    if (address < 0 || address + this.#byteLength > memory.buffer.byteLength) {
      throw new RangeError(`${this.#byteLength} bytes from ${address} on do not lie in the WebAssembly memory`);
    }
    this.#memory = memory;
    this.#address = this.#libc.addressOf(new Uint8Array(memory.buffer)) + BigInt(address);
    this.#libc.map(this.#fd, this.#address, this.#byteLength);
  }

  unmap(position: number, byteLength: number): void {
    this.#requireInside(position, byteLength);
    if (this.#memory) this.#libc.unmap(this.#address + BigInt(position), byteLength);
  }

  wait(position: number, seen: number, ms: number): void {
    this.#libc.wait(this.#address + BigInt(position), seen, ms);
  }

  wake(position: number): void {
    this.#libc.wake(this.#address + BigInt(position));
  }

  close(): void {
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }

  #requireInside(position: number, byteLength: number): void {
    if (position < 0 || byteLength < 0 || position + byteLength > this.#byteLength) {
      throw new RangeError(`${byteLength} bytes from ${position} on are not all in memory of ${this.#byteLength}`);
    }
  }
}
