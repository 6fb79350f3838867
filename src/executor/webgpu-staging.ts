/**
 * Bytes between the GPU and transports. Down: a copy into a mappable staging buffer, whose mapped range is what is lent. Up:
 * plain memory that is lent and then given to `queue.writeBuffer`, which took half the time of a mapped upload buffer at
 * every size from 4 KiB to 4 MiB.
 */
import type { Lease } from "./executor.ts";
import type { GpuDevice } from "./webgpu-device.ts";
import type { GpuSpan } from "./webgpu-span.ts";

/** A readback, shared by all who asked for the same span before anything was written. */
export class Readback {
  readonly #device: GpuDevice;
  readonly #buffer: GPUBuffer;
  readonly #bytes: Promise<Uint8Array>;
  #users = 0;

  /** Queues the copy; the mapping starts with the next submit. */
  constructor(device: GpuDevice, span: GpuSpan) {
    const { start, end } = span.words;
    this.#device = device;
    this.#buffer = device.staging.take(end - start);
    const staging = this.#buffer;
    device.push(
      {
        buffers: [span.buffer, staging],
        encode: (batch) => batch.encoder().copyBufferToBuffer(span.buffer, start, staging, 0, end - start),
      },
      false,
    );
    this.#bytes = device.submitted
      .then(() => device.map(staging, end - start))
      .then((mapped) => new Uint8Array(mapped, span.byteOffset - start, span.byteLength));
    this.#bytes.catch(() => device.destroyBuffer(staging));
  }

  /** One more user of the bytes. The last one to release gives the staging buffer back. */
  async lend(): Promise<Lease> {
    this.#users++;
    const bytes = await this.#bytes;
    let isOver = false;
    return {
      bytes,
      release: () => {
        if (isOver) return;
        isOver = true;
        if (--this.#users > 0) return;
        this.#buffer.unmap();
        this.#device.staging.give(this.#buffer);
      },
    };
  }
}

/** Most bytes of upload memory that lie idle. */
const IDLE_BYTES = 32 * 2 ** 20;

/** Memory for bytes that arrive, used again. */
export class UploadMemory {
  readonly #idle: ArrayBuffer[] = [];
  #idleBytes = 0;

  /** Room for `byteLength` bytes; what is behind it goes up to a whole word. */
  take(byteLength: number): Upload {
    const wanted = Math.ceil(byteLength / 4) * 4;
    const at = this.#idle.findLastIndex((idle) => idle.byteLength >= wanted && idle.byteLength <= 2 * wanted);
    if (at < 0) return new Upload(this, new ArrayBuffer(wanted), byteLength);
    const [found] = this.#idle.splice(at, 1);
    this.#idleBytes -= found!.byteLength;
    return new Upload(this, found!, byteLength);
  }

  give(memory: ArrayBuffer): void {
    this.#idle.push(memory);
    this.#idleBytes += memory.byteLength;
    while (this.#idleBytes > IDLE_BYTES) this.#idleBytes -= this.#idle.shift()!.byteLength;
  }
}

/** Bytes that arrive for a span. */
export class Upload implements Lease {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #owner: UploadMemory;
  #isOver = false;

  constructor(owner: UploadMemory, memory: ArrayBuffer, byteLength: number) {
    this.#owner = owner;
    this.bytes = new Uint8Array(memory, 0, byteLength);
  }

  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.give(this.bytes.buffer);
  }
}

/** `bytes` up to the next whole word: in place where there is room behind them, as in an {@link Upload}, else copied. */
export function wholeWords(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes;
  const padded = Math.ceil(byteLength / 4) * 4;
  if (buffer instanceof ArrayBuffer && byteOffset + padded <= buffer.byteLength) {
    return new Uint8Array(buffer, byteOffset, padded);
  }
  const copy = new Uint8Array(padded);
  copy.set(bytes);
  return copy;
}
