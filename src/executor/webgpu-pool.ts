/**
 * Buffers that are used again: a new one of 1 MiB costs some 400 µs on a software adapter, as much as filling it.
 */

/** What a pool lends. */
interface Pooled {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** What a pool is made with. */
export interface PoolOptions {
  /** Most bytes that lie idle; beyond that, those idle for longest are destroyed. */
  idleBytes: number;
  create(bytes: number): GPUBuffer;
  destroy(buffer: GPUBuffer): void;
}

/** Sizes that buffers come in: four for each power of two, so that one of a little less is found again. */
export function sizeClass(bytes: number): number {
  const power = 2 ** Math.floor(Math.log2(Math.max(bytes, 1024)));
  return Math.ceil(bytes / (power / 4)) * (power / 4) || power / 4;
}

/** Buffers of one usage. */
export class BufferPool {
  readonly #options: PoolOptions;
  /** From the one idle for longest to the one idle for shortest. */
  readonly #idle: Pooled[] = [];
  #idleBytes = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** A buffer of at least `bytes`. Its contents are undefined. */
  take(bytes: number): GPUBuffer {
    const wanted = sizeClass(bytes);
    const at = this.#idle.findLastIndex((idle) => idle.bytes === wanted);
    if (at < 0) return this.#options.create(wanted);
    const [found] = this.#idle.splice(at, 1);
    this.#idleBytes -= wanted;
    return found!.buffer;
  }

  give(buffer: GPUBuffer): void {
    this.#idle.push({ buffer, bytes: buffer.size });
    this.#idleBytes += buffer.size;
    this.#shrink(this.#options.idleBytes);
  }

  /** Destroys all that is idle. */
  evict(): void {
    this.#shrink(0);
  }

  #shrink(limit: number): void {
    while (this.#idleBytes > limit) {
      const { buffer, bytes } = this.#idle.shift()!;
      this.#idleBytes -= bytes;
      this.#options.destroy(buffer);
    }
  }
}
