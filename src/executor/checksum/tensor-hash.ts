/** TensorHash: the hash of tensors' bytes, in whichever memory they lie. `hashTensors` loads it when it is first wanted. */
import type { CudaView, GpuView, TensorView } from "../../tensor/view.ts";
import { CHECKSUM_BYTES, type Checksums } from "../../wire/checksum.ts";
import { createCpuExecutor } from "../cpu/cpu-executor.ts";

/** As the WebGPU specification numbers them: no runtime has to have the globals. */
const STAGING_USAGE = 0x1 | 0x8;
const MAP_READ_MODE = 0x1;

/** See the file's head. */
export class TensorHash {
  readonly #sums: Checksums;
  readonly #device: GPUDevice | null;

  constructor(sums: Checksums, device: GPUDevice | null) {
    this.#sums = sums;
    this.#device = device;
  }

  /**
   * XXH64, with the seed 0, of the views' bytes, one view behind the other. A bigint at once where all lie in host memory; in all
   * cases of the bytes as they are when this is called.
   * @throws TypeError if one lies in a GPUBuffer, and there is no device.
   */
  of(views: readonly TensorView[]): bigint | Promise<bigint> {
    const parts = views.map((view) => this.#bytesOf(view));
    if (parts.every((part) => part instanceof Uint8Array)) return this.#hashOf(parts);
    return Promise.all(parts).then((all) => this.#hashOf(all));
  }

  #hashOf(parts: readonly Uint8Array[]): bigint {
    const sum = this.#sums.begin();
    for (const part of parts) sum.add(part);
    const hash = new Uint8Array(CHECKSUM_BYTES);
    sum.end(hash, 0);
    return new DataView(hash.buffer).getBigUint64(0, true);
  }

  #bytesOf(view: TensorView): Uint8Array | Promise<Uint8Array> {
    if (view.memory === "host") return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    return view.memory === "gpu" ? this.#bytesOfGpu(view) : bytesOfCuda(view);
  }

  /** The copy is submitted before this returns: what is submitted afterwards changes nothing. */
  #bytesOfGpu({ buffer, byteOffset, byteLength }: GpuView): Promise<Uint8Array> {
    const device = this.#device;
    if (!device) throw new TypeError("a tensor lies in a GPUBuffer: pass its device, { device: group.device }");
    const bytes = Math.max(4, Math.ceil(byteLength / 4) * 4);
    const staging = device.createBuffer({ size: bytes, usage: STAGING_USAGE });
    const encoder = device.createCommandEncoder();
    if (byteLength > 0) encoder.copyBufferToBuffer(buffer, byteOffset, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    return staging.mapAsync(MAP_READ_MODE).then(() => {
      const copied = new Uint8Array(staging.getMappedRange()).slice(0, byteLength);
      staging.destroy();
      return copied;
    });
  }
}

async function bytesOfCuda({ buffer, byteOffset, byteLength }: CudaView): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  if (byteLength > 0) await buffer.copyTo(bytes, byteOffset);
  return bytes;
}

let opened: Promise<Checksums> | undefined;

/** Checksums for hashes, made once in a program: they keep nothing from one hash to the next. */
export function openHashes(): Promise<Checksums> {
  opened ??= createCpuExecutor().then((executor) => executor.openChecksums());
  return opened;
}
