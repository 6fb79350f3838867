/** The gradients of a bucket of f32 in a GPUBuffer: the kernels of fp8CompressHook's steps, with the bits of fp8-host.ts where all numbers are normal or zero. */
import { floatSource, runGpuProgram } from "../../../elementwise/gpu-program.ts";
import type { ProcessGroup } from "../../../group/process-group.ts";
import { describeGpu } from "../../../tensor/gpu.ts";
import type { GpuView } from "../../../tensor/view.ts";
import { bytesPerElement, type DataType, type GpuTensor } from "../../../types.ts";
import { createBuffer, deviceOf, readBytes } from "../../host-copy.ts";
import { DTYPE, type Floats8, largestOf } from "./fp8-floats.ts";

/** Elements whose largest magnitude one invocation finds. The host takes the largest of these. */
const RUN = 256;

const LARGEST = `
fn run(run: u32) {
  var most = 0u;
  for (var i = run * ${RUN}u; i < min(params.count, (run + 1u) * ${RUN}u); i++) {
    let magnitude = values_word(i) & 0x7fffffffu;
    if (magnitude < 0x7f800000u) { most = max(most, magnitude); }
  }
  set_largest_word(run, most);
}`;

/** A word of four elements. The scale comes as two factors, since 2^130 is no f32. What is not finite becomes NaN. */
const ENCODE = `${floatSource(DTYPE)}
fn run(word: u32) {
  var result = 0u;
  for (var lane = 0u; lane < 4u; lane++) {
    let i = 4u * word + lane;
    if (i < params.count) {
      let bits = values_word(i);
      let scaled = pinned(bitcast<f32>(bits) * params.factor) * params.rest;
      let isFinite = (bits & 0x7fffffffu) < 0x7f800000u;
      result |= select(0x7f000000u, narrow(scaled), isFinite) >> (24u - 8u * lane);
    }
  }
  set_compressed_word(word, result);
}`;

const DECODE = "fn run(i: u32) { set_values_word(i, table_word(compressed_element(i) >> 24u)); }";

/** See the file's head. */
export class GpuFloats8 implements Floats8 {
  readonly #group: ProcessGroup;
  readonly #values: GpuView;
  readonly #compressed: GpuTensor;

  /** `values` are f32, and become the average. */
  constructor(group: ProcessGroup, values: GpuView) {
    this.#group = group;
    this.#values = values;
    this.#compressed = this.#allocate(DTYPE, values.count);
  }

  async largest(): Promise<number> {
    const runs = Math.ceil(this.#values.count / RUN);
    const largest = this.#allocate("f32", runs);
    try {
      this.#run(LARGEST, { values: this.#values, largest: describeGpu(largest) }, "largest", runs);
      return largestOf(new Float32Array((await readBytes(this.#group, largest)).buffer));
    } finally {
      largest.buffer.destroy();
    }
  }

  encode(scale: number): GpuTensor {
    const factor = 2 ** Math.trunc(Math.log2(scale) / 2);
    const tensors = { values: this.#values, compressed: describeGpu(this.#compressed) };
    const words = Math.ceil(this.#values.count / 4);
    this.#run(ENCODE, tensors, "compressed", words, { factor, rest: scale / factor });
    return this.#compressed;
  }

  decode(table: Float32Array<ArrayBuffer>): void {
    const onDevice = this.#allocate("f32", table.length);
    deviceOf(this.#group).queue.writeBuffer(onDevice.buffer, 0, table);
    const tensors = {
      values: this.#values,
      compressed: describeGpu(this.#compressed),
      table: describeGpu(onDevice),
    };
    this.#run(DECODE, tensors, "values", this.#values.count);
    onDevice.buffer.destroy();
  }

  discard(): void {
    this.#compressed.buffer.destroy();
  }

  #allocate(dtype: DataType, count: number): GpuTensor {
    return { buffer: createBuffer(deviceOf(this.#group), count * bytesPerElement(dtype)), dtype, count };
  }

  #run(
    code: string,
    tensors: Readonly<Record<string, GpuView>>,
    written: string,
    invocations: number,
    f32: Readonly<Record<string, number>> = {},
  ): void {
    const u32 = { count: this.#values.count };
    runGpuProgram(deviceOf(this.#group), { code, tensors, writes: [written], u32, f32, invocations });
  }
}
