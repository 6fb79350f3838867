/**
 * The elementwise operations on GPUBuffers: one WGSL shader each, in which a call of `run` makes one word of the target. An element
 * is handled in the upper bits of a u32, as in shaders/.
 */
import { UnsupportedError } from "../errors.ts";
import { TENSOR_USAGE } from "../executor/webgpu/usage.ts";
import { describeGpu } from "../tensor/gpu.ts";
import type { GpuView } from "../tensor/view.ts";
import { bytesPerElement, type DataType, type GpuTensor, isFloat } from "../types.ts";
import type { BinaryName, Elements } from "./elements.ts";
import { floatSource, type GpuProgram, runGpuProgram } from "./gpu-program.ts";

const EXPRESSIONS: Readonly<Record<BinaryName, string>> = { add: "a + b", subtract: "a - b", multiply: "a * b" };

/** See the file's head. */
export class GpuElements implements Elements<GpuView> {
  readonly #device: GPUDevice;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  alloc(dtype: DataType, count: number): GpuTensor {
    const size = Math.max(4, Math.ceil((count * bytesPerElement(dtype)) / 4) * 4);
    return { buffer: this.#device.createBuffer({ size, usage: TENSOR_USAGE }), dtype, count };
  }

  copy(target: GpuView, targetStart: number, source: GpuView, sourceStart: number, count: number): void {
    const width = bytesPerElement(target.dtype);
    const [to, from] = [target.byteOffset + targetStart * width, source.byteOffset + sourceStart * width];
    const bytes = count * width;
    if (to % 4 === 0 && from % 4 === 0 && bytes % 4 === 0 && target.buffer !== source.buffer) {
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(source.buffer, from, target.buffer, to, bytes);
      this.#device.queue.submit([encoder.finish()]);
      return;
    }
    const lanes = Math.max(1, 4 / width);
    const [scaledWidth, first] = [width > 4 ? width / 4 : 1, Math.floor(targetStart / lanes)];
    if (scaledWidth > 1) {
      this.#copyWords(target, targetStart * scaledWidth, source, sourceStart * scaledWidth, count * scaledWidth);
      return;
    }
    this.#map(target, `source_element(i + params.source_start - params.target_start)`, {
      tensors: { source },
      u32: { start: targetStart, end: targetStart + count, source_start: sourceStart, target_start: targetStart },
      words: { first, last: Math.ceil((targetStart + count) / lanes) },
    });
  }

  #copyWords(target: GpuView, targetStart: number, source: GpuView, sourceStart: number, words: number): void {
    this.#run({
      code: "fn run(i: u32) { set_target_word(i + params.target_start, source_word(i + params.source_start)); }",
      tensors: { target, source },
      writes: ["target"],
      u32: { target_start: targetStart, source_start: sourceStart },
      invocations: words,
    });
  }

  convert(target: GpuView, source: GpuView): void {
    for (const { dtype } of [target, source]) requireFloat("convert", dtype);
    if (target.dtype === source.dtype) {
      this.copy(target, 0, source, 0, source.count);
    } else if (source.dtype === "f32") {
      this.#map(target, "narrow(bitcast<F>(source_element(i)))", { tensors: { source }, float: target.dtype });
    } else if (target.dtype === "f32") {
      this.#map(target, "quiet(bitcast<u32>(widen(source_element(i))))", { tensors: { source }, float: source.dtype });
    } else {
      const wide = this.alloc("f32", source.count);
      const view = describeGpu(wide);
      this.convert(view, source);
      this.convert(target, view);
      wide.buffer.destroy();
    }
  }

  scale(target: GpuView, source: GpuView, factor: number): void {
    requireFloat("scale", target.dtype);
    this.#map(target, "narrow(widen(source_element(i)) * params.factor)", {
      tensors: { source },
      f32: { factor: Math.fround(factor) },
      float: target.dtype,
    });
  }

  binary(name: BinaryName, target: GpuView, left: GpuView, right: GpuView): void {
    requireFloat(name, target.dtype);
    const code = `fn operation(a: F, b: F) -> F { return ${EXPRESSIONS[name]}; }`;
    this.#map(target, "narrow(operation(widen(left_element(i)), widen(right_element(i))))", {
      tensors: { left, right },
      float: target.dtype,
      code,
    });
  }

  rankWhereEqual(target: GpuView, x: GpuView, y: GpuView, rank: number, none: number): void {
    requireFloat("rankWhereEqual", x.dtype);
    const same = "(x_element(i) == y_element(i)) || (isNaN(x_element(i)) && isNaN(y_element(i)))";
    this.#map(target, `select(params.none, params.rank, ${same})`, {
      tensors: { x, y },
      u32: { rank, none },
      float: x.dtype,
      code: "fn isNaN(a: u32) -> bool { return is_nan_f32(bitcast<u32>(widen(a))); }",
    });
  }

  whereOwner(target: GpuView, gradient: GpuView, owner: GpuView, rank: number): void {
    requireFloat("whereOwner", gradient.dtype);
    this.#map(target, "select(0u, gradient_element(i), owner_word(i) == params.rank)", {
      tensors: { gradient, owner },
      u32: { rank },
    });
  }

  /**
   * Element i of `target` becomes `expression`, the element's bits at the top of a u32, for i from `start` to `end`; by default
   * all. The elements beside them in a word are kept.
   */
  #map(
    target: GpuView,
    expression: string,
    { tensors, u32 = {}, f32 = {}, float, code = "", words }: MapOptions,
  ): void {
    const bits = 8 * bytesPerElement(target.dtype);
    const lanes = 32 / bits;
    const { first = 0, last = Math.ceil(target.count / lanes) } = words ?? {};
    this.#run({
      code: `${float ? floatSource(float) : ""}
fn quiet(bits: u32) -> u32 { return select(bits, 0x7fc00000u, (bits & 0x7fffffffu) > 0x7f800000u); }
${code}
fn run(word: u32) {
  var result = 0u;
  for (var lane = 0u; lane < ${lanes}u; lane++) {
    let i = (word + params.first) * ${lanes}u + lane;
    var bits = target_element(i);
    if (i >= params.start && i < params.end) { bits = ${expression}; }
    result |= bits >> (${32 - bits}u - lane * ${bits}u);
  }
  set_target_word(word + params.first, result);
}`,
      tensors: { target, ...tensors },
      writes: ["target"],
      u32: { start: 0, end: target.count, first, ...u32 },
      f32,
      invocations: last - first,
    });
  }

  #run(program: GpuProgram): void {
    runGpuProgram(this.#device, program);
  }
}

interface MapOptions {
  tensors: Readonly<Record<string, GpuView>>;
  u32?: Readonly<Record<string, number>>;
  f32?: Readonly<Record<string, number>>;
  /** The dtype of `widen` and `narrow` in the expression. */
  float?: DataType;
  /** WGSL that the expression uses. */
  code?: string;
  /** Words of the target that are made. Default: all. */
  words?: { first: number; last: number };
}

function requireFloat(what: string, dtype: DataType): void {
  if (isFloat(dtype) && dtype !== "f64") return;
  throw new UnsupportedError(
    `${what} of ${dtype} in a GPUBuffer: WGSL cannot do it exactly; use a host array of ${dtype}`,
  );
}
