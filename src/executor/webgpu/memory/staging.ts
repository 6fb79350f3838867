/**
 * Bytes between the GPU and transports. Down: a copy into a mappable staging buffer, and out of it into plain memory that is
 * lent; the mapped range itself would be gone, under a send that is under way, as soon as the device is. Up: plain memory
 * that is lent and then given to `queue.writeBuffer`, which took half the time of a mapped upload buffer at every size from
 * 4 KiB to 4 MiB.
 */
import type { Lease } from "../../executor.ts";
import type { DeviceUser } from "../device.ts";
import type { PendingTimes } from "../timer.ts";
import type { GpuSpan } from "./span.ts";

/** A readback: one for all callers that asked for the same span before anything was written. */
export class Readback {
  readonly #bytes: Promise<Uint8Array>;
  readonly #memory: HostMemoryLease;
  #users = 0;

  /** Queues the copy; the mapping starts with the next submit. */
  constructor(user: DeviceUser, span: GpuSpan, memory: HostMemory) {
    const { start, end } = span.words;
    const bytes = end - start;
    const { device } = user;
    const { readbacks } = device;
    const { timer } = readbacks;
    const staging = device.staging.take(readbacks.stagingBytes(bytes));
    let times: PendingTimes | null = null;
    this.#memory = memory.take(bytes);
    device.push(
      {
        buffers: [span.buffer, staging],
        encode: (batch) => {
          const encoder = batch.encoder();
          encoder.copyBufferToBuffer(span.buffer, start, staging, 0, bytes);
          times = timer?.resolve(encoder, staging, bytes) ?? null;
        },
        isAwaited: true,
      },
      false,
    );
    this.#bytes = device.submitted
      .then(() => readbacks.read(user, staging, this.#memory.bytes, times))
      .then(() => {
        device.staging.give(staging);
        return this.#memory.bytes.subarray(span.byteOffset - start, span.byteOffset - start + span.byteLength);
      });
    this.#bytes.catch(() => device.destroyBuffer(staging));
  }

  /** One more user of the bytes. The last one to release gives the memory back. */
  async lend(): Promise<Lease> {
    this.#users++;
    const bytes = await this.#bytes;
    let isOver = false;
    return {
      bytes,
      release: () => {
        if (isOver) return;
        isOver = true;
        if (--this.#users === 0) this.#memory.release();
      },
    };
  }
}

/** Most bytes of memory that lie idle. */
const IDLE_BYTES = 32 * 2 ** 20;

/** Memory for bytes that leave or arrive, used again. */
export class HostMemory {
  readonly #idle: ArrayBuffer[] = [];
  #idleBytes = 0;

  /** Room for `byteLength` bytes; the memory behind it is rounded up to a whole word. */
  take(byteLength: number): HostMemoryLease {
    const wanted = Math.ceil(byteLength / 4) * 4;
    const found = this.#idle.findLast((idle) => idle.byteLength >= wanted && idle.byteLength <= 2 * wanted);
    if (!found) return new HostMemoryLease(this, new ArrayBuffer(wanted), byteLength);
    this.#idle.splice(this.#idle.lastIndexOf(found), 1);
    this.#idleBytes -= found.byteLength;
    return new HostMemoryLease(this, found, byteLength);
  }

  give(memory: ArrayBuffer): void {
    this.#idle.push(memory);
    this.#idleBytes += memory.byteLength;
    while (this.#idleBytes > IDLE_BYTES) this.#idleBytes -= this.#idle.shift()?.byteLength ?? 0;
  }
}

/** Memory on loan. */
export class HostMemoryLease implements Lease {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #owner: HostMemory;
  #isOver = false;

  constructor(owner: HostMemory, memory: ArrayBuffer, byteLength: number) {
    this.#owner = owner;
    this.bytes = new Uint8Array(memory, 0, byteLength);
  }

  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.give(this.bytes.buffer);
  }
}

/** `bytes` up to the next whole word: in place where there is room behind them, as in a {@link HostMemoryLease}, else copied. */
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
