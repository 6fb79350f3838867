import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PLAIN_XXH64 } from "../../src/executor/checksum/plain-xxh64.ts";
import { TensorHash } from "../../src/executor/checksum/tensor-hash.ts";
import { TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import { hashTensors } from "../../src/node/index.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { tensorOver } from "../../src/tensor/host.ts";
import { arrayOf } from "../../src/testing/index.ts";
import { bytesPerElement, DATA_TYPES, type GpuTensor } from "../../src/types.ts";
import { defaultDevice } from "../helpers/gpu.ts";

describe("hashTensors()", () => {
  it("is XXH64 with the seed 0, as its specification has it", async () => {
    // Of github.com/Cyan4973/xxHash: nothing, and "abc".
    expect(await hashTensors([])).toBe(0xef46db3751d8e999n);
    expect(await hashTensors([new Float64Array(0), new Int8Array(0)])).toBe(0xef46db3751d8e999n);
    expect(await hashTensors([new TextEncoder().encode("abc")])).toBe(0x44bc2cf5ad770999n);
    expect(await hashTensors([Uint8Array.of(0x61), Uint8Array.of(0x62, 0x63)])).toBe(0x44bc2cf5ad770999n);
  });

  it("is one number for the same bytes: of every dtype, in host memory and in GPUBuffers, in WebAssembly and in plain loops", async () => {
    const device = await defaultDevice();
    const lists = fc.array(
      fc.record({ dtype: fc.constantFrom(...DATA_TYPES), count: fc.nat(3_000), offset: fc.nat(3), seed: fc.nat(255) }),
      { minLength: 1, maxLength: 4 },
    );
    const property = fc.asyncProperty(lists, async (list) => {
      const buffers: GPUBuffer[] = [];
      const tensors = list.map(({ dtype, count, offset, seed }) => {
        const width = bytesPerElement(dtype);
        const array = arrayOf(dtype, count + offset).subarray(offset);
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        bytes.forEach((_, i) => {
          bytes[i] = (i * 31 + seed) & 255;
        });
        const start = 4 * offset * Math.max(1, width / 4);
        const size = Math.ceil((start + bytes.byteLength + 8) / 4) * 4;
        const buffer = device.createBuffer({ size, usage: TENSOR_USAGE });
        const padded = new Uint8Array(size).fill(0x5a);
        padded.set(bytes, start);
        device.queue.writeBuffer(buffer, 0, padded);
        buffers.push(buffer);
        const gpu: GpuTensor = { buffer, dtype, byteOffset: start, count };
        return { host: tensorOver(dtype, array), gpu };
      });
      const hosts = tensors.map(({ host }) => host);
      const gpus = tensors.map(({ gpu }) => gpu);
      const hash = await hashTensors(hosts);
      const mixed = tensors.map(({ host, gpu }, i) => (i % 2 ? host : gpu));
      expect(await hashTensors(gpus, { device })).toBe(hash);
      expect(await hashTensors(mixed, { device })).toBe(hash);
      expect(new TensorHash(PLAIN_XXH64, null).of(hosts.map(viewOf))).toBe(hash);
      for (const buffer of buffers) buffer.destroy();
    });
    await fc.assert(property, { numRuns: 30 });
  });

  it("changes with any byte, and with the order of the tensors", async () => {
    const [a, b] = [Float32Array.of(1, 2, 3), Int16Array.of(4, 5)];
    const hash = await hashTensors([a, b]);
    expect(await hashTensors([b, a])).not.toBe(hash);
    b[1] = 6;
    expect(await hashTensors([a, b])).not.toBe(hash);
  });

  it("refuses what is no tensor, and a GPUBuffer without its device", async () => {
    const buffer = (await defaultDevice()).createBuffer({ size: 16, usage: TENSOR_USAGE });
    await expect(hashTensors([Float32Array.of(1), "abc" as never])).rejects.toThrow(/hashTensors: tensors\[1\]/);
    await expect(hashTensors(Float32Array.of(1) as never)).rejects.toThrow(/must be a list/);
    await expect(hashTensors([{ buffer, dtype: "f32" }])).rejects.toThrow(
      /pass its device, \{ device: group\.device \}/,
    );
  });
});
