/**
 * The memory that WebAssembly kernels work in, and its allocator: first fit over a sorted list of free blocks, which
 * are joined with their neighbours when they come back. Blocks are multiples of 64 bytes, a cache line.
 *
 * Shared memory grows on demand up to its maximum and never shrinks; memory that is not shared stays as it is, for
 * growing it would detach every view of it. A part of shared memory may be a window, which other processes have too.
 */

const PAGE_BYTES = 65_536;
const ALIGNMENT_BYTES = 64;
const GROWTH_BYTES = 1_048_576;
/** Maxima to try, in pages: 4 GiB, and 256 MiB where so much address space is not to be had. */
const MAXIMUM_PAGES = [65_536, 4_096];
const UNSHARED_PAGES = 256;

interface Block {
  start: number;
  end: number;
}

/** Free blocks, sorted; neighbours are joined. */
class FreeBlocks {
  readonly #blocks: Block[] = [];

  /** The start of `size` bytes that are free no longer, or -1 if no block has so many. */
  take(size: number): number {
    const blocks = this.#blocks;
    const block = blocks.find(({ start, end }) => end - start >= size);
    if (!block) return -1;
    const { start } = block;
    block.start += size;
    if (block.start === block.end) blocks.splice(blocks.indexOf(block), 1);
    return start;
  }

  add(start: number, end: number): void {
    const blocks = this.#blocks;
    const at = blocks.findLastIndex((block) => block.start <= start) + 1;
    const before = blocks[at - 1];
    const after = blocks[at];
    const joinsBefore = before?.end === start;
    const joinsAfter = after?.start === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      blocks.splice(at, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.start = start;
    else blocks.splice(at, 0, { start, end });
  }

  /** How many bytes are free right before `end`. */
  before(end: number): number {
    const last = this.#blocks.at(-1);
    return last?.end === end ? last.end - last.start : 0;
  }
}

/** The part of a memory that other processes have too, and of which this one uses the bytes from `ownStart` to `ownEnd`. */
export interface Window {
  readonly ownStart: number;
  readonly ownEnd: number;
  /** Sets memory aside, or throws. */
  reserve(start: number, byteLength: number): void;
  /** The window was closed: its bytes are in use only where this process's blocks are. */
  onClosed(): void;
  /** And none of those is in use any more. */
  onUnused(): void;
}

/** May this runtime share memory? Browsers only let pages do that which are cross-origin isolated. */
function canShare(): boolean {
  if (typeof SharedArrayBuffer === "undefined") return false;
  return globalThis.crossOriginIsolated !== false; // undefined in Node and Deno
}

/** New memory, shared if that is allowed. */
export function createMemory(): { memory: WebAssembly.Memory; shared: boolean } {
  if (canShare()) {
    for (const maximum of MAXIMUM_PAGES) {
      try {
        return { memory: new WebAssembly.Memory({ initial: 16, maximum, shared: true }), shared: true };
      } catch {
        // Too little address space, or no shared memory in this engine: the next smaller one.
      }
    }
  }
  return { memory: new WebAssembly.Memory({ initial: UNSHARED_PAGES, maximum: UNSHARED_PAGES }), shared: false };
}

/** The size of the block that holds `byteLength` bytes. */
function blockBytes(byteLength: number): number {
  return Math.max(1, Math.ceil(byteLength / ALIGNMENT_BYTES)) * ALIGNMENT_BYTES;
}

/** A window that is used. */
interface OpenWindow extends Window {
  readonly free: FreeBlocks;
  /** What lies before is set aside. */
  reservedEnd: number;
  usedBytes: number;
  isClosed: boolean;
}

/** Makes the window's last free block at least `size` bytes long, if it can. */
function reserveMore(window: OpenWindow, size: number): boolean {
  const { free, reservedEnd, ownEnd } = window;
  const missing = size - free.before(reservedEnd);
  const byteLength = Math.min(Math.max(missing, GROWTH_BYTES), ownEnd - reservedEnd);
  if (byteLength < missing) return false;
  try {
    window.reserve(reservedEnd, byteLength);
  } catch {
    return false; // The machine has no more memory.
  }
  window.reservedEnd += byteLength;
  free.add(reservedEnd, window.reservedEnd);
  return true;
}

/** Is what is written through one buffer read through the other? The byte at `at` is nobody's. */
function isOneMemory(written: ArrayBufferLike, read: ArrayBufferLike, at: number): boolean {
  const from = new Uint8Array(written);
  const to = new Uint8Array(read);
  from[at] = 255 - to[at]!;
  return to[at] === from[at];
}

/** See the file's head. */
export class WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** `memory.buffer` as of the last growth. */
  #buffer: ArrayBufferLike;
  readonly #free = new FreeBlocks();
  /** Blocks come from here first. */
  #window: OpenWindow | null = null;
  #usedBytes = 0;
  /** False in an engine whose clone of shared memory is a copy of it, as WebKit's is. */
  #clonesShare = true;
  /** Every buffer object that stands for this memory: each growth of shared memory makes another. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  readonly #abandoned = new FinalizationRegistry<{ start: number; byteLength: number }>(({ start, byteLength }) =>
    this.release(start, byteLength),
  );

  /** A memory of its own, or a part of `given`, in which other threads have theirs: each takes what it adds by growing. */
  constructor(given?: WebAssembly.Memory) {
    const { memory, shared } = given ? { memory: given, shared: true } : createMemory();
    this.memory = memory;
    this.shared = shared;
    this.#buffer = memory.buffer;
    this.#buffers.add(this.#buffer);
    if (!given) this.#free.add(ALIGNMENT_BYTES, this.#buffer.byteLength);
  }

  /** Address of a byte of `buffer`, or -1 if that is not this memory. */
  addressOf(buffer: ArrayBufferLike, byteOffset: number): number {
    return this.#buffers.has(buffer) ? byteOffset : -1;
  }

  /** Address of a new block, or -1 if there is no room. */
  allocate(byteLength: number): number {
    const size = blockBytes(byteLength);
    let start = this.#takeFromWindow(size);
    if (start < 0) start = this.#free.take(size);
    if (start < 0 && this.#grow(size)) start = this.#free.take(size);
    if (start >= 0) this.#usedBytes += size;
    return start;
  }

  /** Gives back, once, the block that `allocate(byteLength)` put at `start`. */
  release(start: number, byteLength: number): void {
    const size = blockBytes(byteLength);
    this.#usedBytes -= size;
    const window = this.#window;
    if (!window || start < window.ownStart || start >= window.ownEnd) {
      this.#free.add(start, start + size);
      return;
    }
    window.free.add(start, start + size);
    window.usedBytes -= size;
    this.#endWindow();
  }

  /**
   * Adds `byteLength` bytes to the memory, a multiple of 64 KiB, from which no block comes. Their address, or -1 if there is
   * no room.
   */
  addRoom(byteLength: number): number {
    if (!this.shared) return -1;
    try {
      const start = this.memory.grow(byteLength / PAGE_BYTES) * PAGE_BYTES;
      this.#follow();
      return start;
    } catch {
      return -1;
    }
  }

  /** Room that was added is used like all other. */
  returnRoom(start: number, byteLength: number): void {
    this.#free.add(start, start + byteLength);
  }

  /** From now on blocks come from a part of this window, as long as there is room. */
  openWindow(window: Window): void {
    const { ownStart: reservedEnd } = window;
    this.#window = { ...window, free: new FreeBlocks(), reservedEnd, usedBytes: 0, isClosed: false };
  }

  /** No block comes from the window any more. */
  closeWindow(): void {
    if (!this.#window) return;
    this.#window.isClosed = true;
    this.#window.onClosed();
    this.#endWindow();
  }

  /** A view of `byteLength` bytes at an address. */
  bytesAt(start: number, byteLength: number): Uint8Array {
    return new Uint8Array(this.bufferTo(start + byteLength), start, byteLength);
  }

  /** The buffer object, large enough for the first `end` bytes: another thread may have grown the memory. */
  bufferTo(end: number): ArrayBufferLike {
    if (end > this.#buffer.byteLength) {
      if (this.shared) this.memory.grow(0);
      this.#follow();
    }
    return this.#buffer;
  }

  /**
   * A buffer object of its own for a new block, and the block's address, or null if there is no room. The block is
   * freed when that object and all views of it are gone: hence the clone, which shares the memory and is nobody else's.
   */
  allocateOwned(byteLength: number): { buffer: ArrayBufferLike; start: number } | null {
    if (!this.shared || !this.#clonesShare) return null;
    const start = this.allocate(byteLength);
    if (start < 0) return null;
    const buffer = structuredClone(this.#buffer);
    this.#clonesShare = isOneMemory(this.#buffer, buffer, start);
    if (!this.#clonesShare) {
      this.release(start, byteLength);
      return null;
    }
    this.#buffers.add(buffer);
    this.#abandoned.register(buffer, { start, byteLength });
    return { buffer, start };
  }

  /** Bytes of all blocks that are not free. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  #takeFromWindow(size: number): number {
    const window = this.#window;
    if (!window || window.isClosed) return -1;
    let start = window.free.take(size);
    if (start < 0 && reserveMore(window, size)) start = window.free.take(size);
    if (start >= 0) window.usedBytes += size;
    return start;
  }

  #endWindow(): void {
    const window = this.#window;
    if (!window?.isClosed || window.usedBytes > 0) return;
    this.#window = null;
    window.onUnused();
  }

  /** Makes the last free block at least `size` bytes long. The added part begins where no other thread's growth did. */
  #grow(size: number): boolean {
    if (!this.shared) return false;
    for (;;) {
      const free = this.#free.before(this.#buffer.byteLength);
      if (free >= size) return true;
      const pages = Math.ceil(Math.max(size - free, GROWTH_BYTES) / PAGE_BYTES);
      let start: number;
      try {
        start = this.memory.grow(pages) * PAGE_BYTES;
      } catch {
        return false; // The maximum is reached, or the machine has no more memory.
      }
      this.#follow();
      this.#free.add(start, start + pages * PAGE_BYTES);
    }
  }

  /** Takes the buffer object that stands for the memory as it is now. */
  #follow(): void {
    if (this.memory.buffer === this.#buffer) return;
    this.#buffer = this.memory.buffer;
    this.#buffers.add(this.#buffer);
  }
}
