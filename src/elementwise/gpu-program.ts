/**
 * One WGSL compute shader, run over some tensors in GPU memory on the caller's device.
 *
 * A shader is given its tensors by name. For each tensor `x` it has these functions; a word is 32 bits of memory: one f32, two
 * f16, four f8 (the first element in the lowest bits).
 *
 *   x_word(i)              word i of the tensor
 *   set_x_word(i, value)   writes word i, if the tensor is among `writes`
 *   x_element(i)           element i of an 8-, 16- or 32-bit dtype, in the upper bits of a u32, above zeros
 *
 * and the struct `params` with its uniforms, and `params.zero`, which is always 0 and which no compiler knows: `x ^ zero`
 * keeps two float operations apart (docs/arithmetic.md, "Pinning"). The shader defines `fn run(i: u32)`, which is called once
 * for each i below `invocations`. Two tensors of one buffer share a binding, so a tensor may be read and written in one shader.
 */
import { UnsupportedError } from "../errors.ts";
import { SHADERS } from "../executor/webgpu/kernels/shaders.generated.ts";
import { floatConversions } from "../executor/webgpu/kernels/source.ts";
import type { GpuView } from "../tensor/view.ts";
import { bytesPerElement, type DataType } from "../types.ts";

/** A shader and its arguments. */
export interface GpuProgram {
  /** WGSL that defines `fn run(i: u32)`. */
  code: string;
  /** The tensors by the names that the shader knows. */
  tensors: Readonly<Record<string, GpuView>>;
  /** The names of those that it writes. */
  writes: readonly string[];
  /** Fields of `params` of the type u32. */
  u32?: Readonly<Record<string, number>>;
  /** Fields of `params` of the type f32. */
  f32?: Readonly<Record<string, number>>;
  /** How often `run` is called. */
  invocations: number;
}

/** A stretch of a buffer that some tensors lie in. */
interface Binding {
  readonly buffer: GPUBuffer;
  start: number;
  end: number;
  written: boolean;
}

/** GPUBufferUsage.UNIFORM and COPY_DST. */
const UNIFORM_USAGE = 0x40 | 0x8;
const MOST_WORKGROUPS = 65_535;
const WORKGROUP = 256;

/** GPUShaderStage.COMPUTE. */
const COMPUTE_STAGE = 0x4;

interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Kernels by their source. */
const kernels = new WeakMap<GPUDevice, Map<string, Kernel>>();

/**
 * Runs a program: its commands are submitted when this returns, in order with all others of the device's queue. Faults of the
 * shader, and buffers of another device, are errors of the device (its error scopes, else `uncapturederror`).
 * @throws UnsupportedError if a tensor is longer than the device can bind, or if there are more tensors than it can bind.
 */
export function runGpuProgram(device: GPUDevice, program: GpuProgram): void {
  if (program.invocations === 0) return;
  const bindings = bindingsOf(device, program);
  const uniforms = uniformsOf(program, bindings);
  const { pipeline, layout } = kernelOf(device, sourceOf(program, bindings, uniforms.fields), bindings);
  const uniformBuffer = device.createBuffer({ size: uniforms.words.byteLength, usage: UNIFORM_USAGE });
  device.queue.writeBuffer(uniformBuffer, 0, uniforms.words);
  const group = device.createBindGroup({
    layout,
    entries: [
      { binding: 0, resource: { buffer: uniformBuffer } },
      ...bindings.map(({ buffer, start, end }, b) => ({
        binding: b + 1,
        resource: { buffer, offset: start, size: end - start },
      })),
    ],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  const workgroups = Math.ceil(program.invocations / WORKGROUP);
  const rows = Math.ceil(workgroups / MOST_WORKGROUPS);
  pass.dispatchWorkgroups(Math.ceil(workgroups / rows), rows);
  pass.end();
  device.queue.submit([encoder.finish()]);
  uniformBuffer.destroy();
}

/** WGSL of f32 values: `widen` and `narrow` of `dtype`, and the types and functions that these use. */
export function floatSource(dtype: DataType): string {
  return `${SHADERS["width-1"]}
fn is_nan_f32(bits: V) -> B { return bitcast<I>(bits & 0x7fffffffu) > 0x7f800000i; }
// See "Pinning" in docs/arithmetic.md.
fn pinned(value: F) -> F { return bitcast<F>(bitcast<V>(value) ^ params.zero); }
${floatConversions(dtype)}`;
}

/** The bindings, one for each buffer. */
function bindingsOf(device: GPUDevice, { tensors, writes }: GpuProgram): Binding[] {
  const { maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage, minStorageBufferOffsetAlignment } =
    device.limits;
  const bindings: Binding[] = [];
  for (const [name, { buffer, byteOffset, byteLength }] of Object.entries(tensors)) {
    const start = byteOffset - (byteOffset % minStorageBufferOffsetAlignment);
    const end = Math.max(start + 4, byteOffset + Math.ceil(byteLength / 4) * 4);
    const written = writes.includes(name);
    const known = bindings.find((binding) => binding.buffer === buffer);
    if (known) {
      known.start = Math.min(known.start, start);
      known.end = Math.max(known.end, end);
      known.written ||= written;
    } else bindings.push({ buffer, start, end, written });
  }
  const longest = Math.max(...bindings.map(({ start, end }) => end - start));
  if (longest > maxStorageBufferBindingSize) {
    throw new UnsupportedError(
      `a kernel over ${longest} bytes of a GPUBuffer, and the device binds ${maxStorageBufferBindingSize} at once: ` +
        "request it with a larger maxStorageBufferBindingSize",
    );
  }
  if (bindings.length > maxStorageBuffersPerShaderStage) {
    throw new UnsupportedError(
      `a kernel over ${bindings.length} GPUBuffers, and the device binds ${maxStorageBuffersPerShaderStage}: ` +
        "request it with a larger maxStorageBuffersPerShaderStage",
    );
  }
  return bindings;
}

/** The fields of `params`, and their values in words. */
function uniformsOf({ tensors, u32 = {}, f32 = {}, invocations }: GpuProgram, bindings: readonly Binding[]) {
  const whole: Record<string, number> = { zero: 0, invocations, ...u32 };
  for (const [name, { buffer, byteOffset }] of Object.entries(tensors)) {
    const start = bindings.find((binding) => binding.buffer === buffer)?.start ?? 0;
    whole[`${name}_at`] = (byteOffset - start) / 4;
  }
  const fields = [
    ...Object.keys(whole).map((name) => `${name}: u32`),
    ...Object.keys(f32).map((name) => `${name}: f32`),
  ];
  const words = new DataView(new ArrayBuffer(Math.ceil(fields.length / 4) * 16));
  const values = Object.values(whole);
  values.forEach((value, at) => {
    words.setUint32(at * 4, value, true);
  });
  Object.values(f32).forEach((value, at) => {
    words.setFloat32((values.length + at) * 4, value, true);
  });
  return { fields, words: words.buffer };
}

function sourceOf({ code, tensors, writes }: GpuProgram, bindings: readonly Binding[], fields: readonly string[]) {
  const declared = bindings.map(
    ({ written }, b) =>
      `@group(0) @binding(${b + 1}) var<storage, ${written ? "read_write" : "read"}> buffer${b}: array<u32>;`,
  );
  const access = Object.entries(tensors).map(([name, view]) => {
    const buffer = `buffer${bindings.findIndex((binding) => binding.buffer === view.buffer)}`;
    const writer = `fn set_${name}_word(i: u32, value: u32) { ${buffer}[params.${name}_at + i] = value; }`;
    return [
      `fn ${name}_word(i: u32) -> u32 { return ${buffer}[params.${name}_at + i]; }`,
      elementSource(name, bytesPerElement(view.dtype)),
      ...(writes.includes(name) ? [writer] : []),
    ].join("\n");
  });
  return `struct Params { ${fields.join(", ")} }
@group(0) @binding(0) var<uniform> params: Params;
${declared.join("\n")}
${access.join("\n")}
${code}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * ${WORKGROUP}u;
  if (i < params.invocations) { run(i); }
}`;
}

function elementSource(name: string, width: number): string {
  const lanes = 4 / width;
  if (lanes < 1) return "";
  if (lanes === 1) return `fn ${name}_element(i: u32) -> u32 { return ${name}_word(i); }`;
  const bits = 8 * width;
  return `fn ${name}_element(i: u32) -> u32 {
  return (${name}_word(i / ${lanes}u) << (${32 - bits}u - ${bits}u * (i % ${lanes}u))) & ${(2 ** 32 - 2 ** (32 - bits)).toString()}u;
}`;
}

/** The compiled kernel. Its layout is given, since one that is made of the source lacks the bindings that the source does not use. */
function kernelOf(device: GPUDevice, code: string, bindings: readonly Binding[]): Kernel {
  let known = kernels.get(device);
  if (!known) {
    known = new Map();
    kernels.set(device, known);
  }
  let kernel = known.get(code);
  if (!kernel) {
    const types = bindings.map(({ written }) => (written ? "storage" : "read-only-storage"));
    const layout = device.createBindGroupLayout({
      entries: (["uniform", ...types] as const).map((type, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type },
      })),
    });
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
    });
    kernel = { pipeline, layout };
    known.set(code, kernel);
  }
  return kernel;
}
