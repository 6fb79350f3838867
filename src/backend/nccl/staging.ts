/**
 * Staging: host tensors on a CUDA device for the time of one call. A tensor that is on the device already is used as it is.
 */
import { type CudaView, isSameMemory, type TensorView } from "../../tensor/view.ts";
import { bytesPerElement, type CudaTensor, type DataType, type DeviceBuffer } from "../../types.ts";
import type { NcclCommunicator, NcclLibrary } from "./library.ts";

/** Bytes of a host tensor that are on the device at once, of each of the segments in flight. */
const SEGMENT_BYTES = 4 * 2 ** 20;
const SEGMENTS_IN_FLIGHT = 4;
/** Most bytes of device memory that are kept for later calls. */
const POOL_BYTES = 256 * 2 ** 20;
const SMALLEST_BYTES = 4096;

/** A tensor, or elements of one, as the device sees it. */
export type OnDevice = Required<CudaTensor>;

/** Device memory for staging, used again. Sizes are powers of two. */
export class DevicePool {
  readonly #library: NcclLibrary;
  readonly #device: number;
  readonly #free = new Map<number, DeviceBuffer[]>();
  #freeBytes = 0;

  constructor(library: NcclLibrary, device: number) {
    this.#library = library;
    this.#device = device;
  }

  take(byteLength: number): DeviceBuffer {
    const size = Math.max(SMALLEST_BYTES, 2 ** Math.ceil(Math.log2(byteLength)));
    const buffer = this.#free.get(size)?.pop();
    if (buffer) this.#freeBytes -= size;
    return buffer ?? new this.#library.DeviceBuffer(size, { device: this.#device, lazy: true });
  }

  giveBack(buffer: DeviceBuffer): void {
    const { byteLength } = buffer;
    if (this.#freeBytes + byteLength > POOL_BYTES) {
      buffer.dispose();
      return;
    }
    this.#freeBytes += byteLength;
    const list = this.#free.get(byteLength) ?? [];
    list.push(buffer);
    this.#free.set(byteLength, list);
  }

  dispose(): void {
    for (const list of this.#free.values()) for (const buffer of list) buffer.dispose();
    this.#free.clear();
  }
}

/** The tensors of one call. */
export class StagedCall {
  readonly communicator: NcclCommunicator;
  readonly #pool: DevicePool;
  readonly #taken: DeviceBuffer[] = [];
  /** What is to be done after the collective, in order. */
  readonly #after: (() => void)[] = [];

  constructor(communicator: NcclCommunicator, pool: DevicePool) {
    this.communicator = communicator;
    this.#pool = pool;
  }

  /** The tensor's elements, to be read by the collective. */
  input(tensor: TensorView): OnDevice {
    if (tensor.memory === "cuda") return onDevice(tensor);
    const { dtype, count } = tensor;
    const bytes = hostBytes(tensor);
    const placed = this.#scratch(dtype, count);
    this.communicator.copyIn(placed, bytes);
    return placed;
  }

  /** Room for the tensor's elements, to be written by the collective. */
  output(tensor: TensorView): OnDevice {
    if (tensor.memory === "cuda") return onDevice(tensor);
    const { dtype, count } = tensor;
    const bytes = hostBytes(tensor);
    const placed = this.#scratch(dtype, count);
    this.#after.push(() => this.communicator.copyOut(bytes, placed));
    return placed;
  }

  /** `output` becomes `input`, both this rank's own. */
  copyOwn(output: TensorView, input: TensorView): void {
    if (output.memory === "cuda" && input.memory === "cuda") {
      if (!isSameMemory(output, input)) this.communicator.copyWithin(onDevice(output), onDevice(input));
    } else hostBytes(output).set(hostBytes(input));
  }

  /**
   * Runs `collective` in place on the tensor: at once if it is on the device, else on one segment after the other, so that
   * copies and collectives of several overlap.
   */
  inPlace(
    tensor: TensorView,
    { reads, writes }: { reads: boolean; writes: boolean },
    collective: (part: OnDevice) => void,
  ): void {
    if (tensor.memory === "cuda") {
      if (tensor.count > 0) collective(onDevice(tensor));
      return;
    }
    const { dtype, count } = tensor;
    const bytes = hostBytes(tensor);
    const width = bytesPerElement(dtype);
    const perSegment = SEGMENT_BYTES / width;
    const ring: DeviceBuffer[] = [];
    for (let start = 0, segment = 0; start < count; start += perSegment, segment++) {
      const part = Math.min(perSegment, count - start);
      const index = segment % SEGMENTS_IN_FLIGHT;
      ring[index] ??= this.#take(part * width);
      const placed = { cuda: ring[index], dtype, byteOffset: 0, count: part };
      const host = bytes.subarray(start * width, (start + part) * width);
      if (reads) this.communicator.copyIn(placed, host);
      collective(placed);
      if (writes) this.communicator.copyOut(host, placed);
    }
  }

  /** Brings the results home. */
  async end(): Promise<void> {
    for (const step of this.#after) step();
    try {
      await this.communicator.flush();
    } catch (error) {
      for (const buffer of this.#taken) buffer.dispose();
      throw error;
    }
    for (const buffer of this.#taken) this.#pool.giveBack(buffer);
  }

  #scratch(dtype: DataType, count: number): OnDevice {
    return { cuda: this.#take(count * bytesPerElement(dtype)), dtype, byteOffset: 0, count };
  }

  #take(byteLength: number): DeviceBuffer {
    const buffer = this.#pool.take(Math.max(1, byteLength));
    this.#taken.push(buffer);
    return buffer;
  }
}

/** A tensor of the device, as NCCL takes it. */
export function onDevice({ buffer, dtype, byteOffset, count }: CudaView): OnDevice {
  return { cuda: buffer, dtype, byteOffset, count };
}

function hostBytes(view: TensorView): Uint8Array {
  if (view.memory !== "host") throw new TypeError("the tensor is not in host memory");
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
