/**
 * Buffers that are used again: a new one of 1 MiB costs some 400 µs on a software adapter, as much as filling it.
 */

/** The device's part of a pool: `GpuDevice` makes one for each usage. */
export interface PoolOptions {
  /** Most bytes that lie idle; beyond that, those idle for longest are destroyed. */
  idleBytes: number;
  create(bytes: number): GPUBuffer;
  /** As `create`, for a caller that watches for out-of-memory errors itself. */
  createUnwatched(bytes: number): GPUBuffer;
  destroy(buffer: GPUBuffer): void;
  /** False for a buffer whose memory could not be had. */
  isUsable(buffer: GPUBuffer): boolean;
}

/** Sizes that buffers come in: four for each power of two, so that one of a little less is found again. */
function sizeClass(bytes: number): number {
  const power = 2 ** Math.floor(Math.log2(Math.max(bytes, 1024)));
  return Math.ceil(bytes / (power / 4)) * (power / 4) || power / 4;
}

/** Buffers of one usage. */
export class BufferPool {
  readonly #options: PoolOptions;
  /** From the one idle for longest to the one idle for shortest. */
  readonly #idle: GPUBuffer[] = [];
  #idleBytes = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** A buffer of at least `bytes`. Its contents are undefined. */
  take(bytes: number): GPUBuffer {
    const wanted = sizeClass(bytes);
    const found = this.#idle.findLast(({ size }) => size === wanted);
    if (!found) return this.#options.create(wanted);
    this.#idle.splice(this.#idle.lastIndexOf(found), 1);
    this.#idleBytes -= wanted;
    return found;
  }

  give(buffer: GPUBuffer): void {
    if (!this.#options.isUsable(buffer)) {
      this.#options.destroy(buffer);
      return;
    }
    this.#idle.push(buffer);
    this.#idleBytes += buffer.size;
    this.#shrink(this.#options.idleBytes);
  }

  /** Bytes that lie idle. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** How many more of `count` buffers for `bytes` each would have to be made, of those that the pool would keep. */
  missing(bytes: number, count: number): number {
    const wanted = sizeClass(bytes);
    const kept = Math.min(count, Math.floor(this.#options.idleBytes / wanted));
    return Math.max(0, kept - this.#idle.filter(({ size }) => size === wanted).length);
  }

  /** A new buffer for `bytes`, to be given once it is known that there was memory for it. */
  make(bytes: number): GPUBuffer {
    return this.#options.createUnwatched(sizeClass(bytes));
  }

  /** Destroys all that is idle. */
  evict(): void {
    this.#shrink(0);
  }

  #shrink(limit: number): void {
    while (this.#idleBytes > limit) {
      const buffer = this.#idle.shift();
      if (!buffer) return;
      this.#idleBytes -= buffer.size;
      this.#options.destroy(buffer);
    }
  }
}
