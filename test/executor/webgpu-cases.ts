/**
 * GPU results against the cpu executor's, bit for bit. No runtime's name in here: vitest runs these cases in Node, a script
 * runs them in Deno.
 *
 * A case lives in buffers of random bytes, which the host mirrors. After it, all bytes of all buffers are compared: those of
 * the results, and those around them, which must not have changed. Elements that met a subnormal are left out where a GPU may
 * flush it (f32 and bf16; f16 and the 8-bit floats compute in f32's normal range).
 */

import { HostSpan } from "../../src/executor/cpu/host-span.ts";
import type { Executor, Span } from "../../src/executor/executor.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import { TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import { ReduceOp, type ReduceOp as ReduceOpType } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { bytesPerElement, type DataType, isFloat } from "../../src/types.ts";

/** Where a span lies. */
export interface Place {
  buffer: number;
  /** A multiple of the element's size. */
  byteOffset: number;
}

/** A fold: `operands[target]` is written, or memory of its own. */
export interface FoldCase {
  dtype: DataType;
  op: ReduceOpType;
  count: number;
  operands: readonly Place[];
  target: number | Place;
  /** `prepare`, fold and `finish`, as a group of this size does. */
  size?: number;
}

/** The outcome of a case. */
export interface Outcome {
  compared: number;
  leftOut: number;
  /** Empty, or the first byte that differs. */
  difference: string;
}

const FACTOR = 0.3;

/** The operations that a GPU does exactly on `dtype`. */
export function gpuOps(dtype: DataType): ReduceOpType[] {
  const { SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR } = ReduceOp;
  if (dtype === "f64") return [MIN, MAX];
  if (isFloat(dtype)) return [SUM, AVG, PRODUCT, MIN, MAX, ReduceOp.premulSum(FACTOR)];
  return [SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, ReduceOp.premulSum(-7)];
}

/** Sign, exponent and fraction of the types whose subnormals a GPU may flush: the mask of the exponent's bits. */
const EXPONENT_MASK: Partial<Record<DataType, number>> = { f32: 0x7f800000, bf16: 0x7f80 };

/** Is any element subnormal, or the smallest normal, to which a subnormal may have been rounded? */
function markSubnormals({ dtype, count, bytes }: HostSpan, marks: Uint8Array): void {
  const mask = EXPONENT_MASK[dtype];
  if (mask === undefined) return;
  const width = bytesPerElement(dtype);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const smallest = mask & -mask;
  for (let i = 0; i < count; i++) {
    const bits = width === 4 ? view.getUint32(4 * i, true) : view.getUint16(2 * i, true);
    const magnitude = bits & (width === 4 ? 0x7fffffff : 0x7fff);
    if (magnitude !== 0 && magnitude <= smallest) marks[i] = 1;
  }
}

/** Random bytes; of floats one in sixteen is Inf or NaN, one in sixteen zero, and no other is far from 1. */
export function randomBytes(dtype: DataType, byteLength: number, random: () => number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength);
  for (let i = 0; i < byteLength; i++) bytes[i] = random() >>> 11;
  const view = new DataView(bytes.buffer);
  const width = bytesPerElement(dtype);
  // A float of 8 bits is each of its patterns often enough.
  if (!isFloat(dtype) || width === 1) return bytes;
  const [exponentBits, top] = dtype === "f64" ? [11, 6] : dtype === "f16" ? [5, 0] : [8, width - 2];
  const field = ((1 << exponentBits) - 1) << (15 - exponentBits);
  for (let at = 0; at + width <= byteLength; at += width) {
    const bits = view.getUint16(at + top, true);
    switch (random() >>> 28) {
      case 0:
        view.setUint16(at + top, bits | field, true);
        if (random() % 2 === 0) {
          bytes.fill(0, at, at + top);
          view.setUint16(at + top, (bits & 0x8000) | field, true);
        }
        break;
      case 1:
        bytes.fill(0, at, at + width);
        bytes[at + width - 1] = random() % 2 === 0 ? 0x80 : 0;
        break;
      default:
    }
  }
  return bytes;
}

/** Runs one case. `sizes` are the buffers' sizes in bytes. */
export async function runFold(
  gpu: GpuExecutor,
  cpu: Executor,
  foldCase: FoldCase,
  sizes: readonly number[],
  random: () => number,
): Promise<Outcome> {
  const { dtype, op, count, operands, target, size = 3 } = foldCase;
  const { device } = gpu;
  const mirrors = sizes.map((bytes) => randomBytes(dtype, bytes, random));
  const buffers = mirrors.map((mirror) => {
    const buffer = device.createBuffer({ size: mirror.byteLength, usage: TENSOR_USAGE });
    device.queue.writeBuffer(buffer, 0, mirror);
    return buffer;
  });
  try {
    const gpuSpan = ({ buffer, byteOffset }: Place): Span => {
      const start = byteOffset / bytesPerElement(dtype);
      if (byteOffset % 4 === 0) return gpu.span(viewOf({ buffer: buffers[buffer]!, dtype, byteOffset, count }));
      return gpu.slice(gpu.span(viewOf({ buffer: buffers[buffer]!, dtype, count: start + count })), start, count);
    };
    const spans = operands.map(gpuSpan);
    const output = typeof target === "number" ? spans[target]! : gpuSpan(target);
    const inputs = spans.map((span) => gpu.prepare(op, span, size));
    gpu.reduceMany(op, output, inputs);
    gpu.finish(op, output, size);

    const marks = new Uint8Array(count);
    const place = typeof target === "number" ? operands[target]! : target;
    expectFold(cpu, foldCase, size, mirrors, place, marks);
    // Equal ids promise equal bits for subnormals too.
    if (gpu.arithmeticId === cpu.arithmeticId) marks.fill(0);
    await gpu.settled();
    return await compare(gpu, buffers, mirrors, dtype, [...operands, place], marks);
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

/** Does the case on the mirrors, with the cpu executor. */
function expectFold(
  cpu: Executor,
  { dtype, op, count, operands }: FoldCase,
  size: number,
  mirrors: readonly Uint8Array<ArrayBuffer>[],
  target: Place,
  marks: Uint8Array,
): void {
  const byteLength = count * bytesPerElement(dtype);
  const bytesAt = ({ buffer, byteOffset }: Place) => mirrors[buffer]!.subarray(byteOffset, byteOffset + byteLength);
  const copies = operands.map((operand) => HostSpan.outside(dtype, bytesAt(operand).slice()));
  for (const copy of copies) {
    markSubnormals(copy, marks);
    cpu.prepare(op, copy, size);
    markSubnormals(copy, marks);
  }
  const folded = HostSpan.outside(dtype, copies[0]!.bytes.slice());
  for (const copy of copies.slice(1)) {
    cpu.reduce(op, folded, folded, copy);
    markSubnormals(folded, marks);
  }
  cpu.finish(op, folded, size);
  bytesAt(target).set(folded.bytes);
}

async function compare(
  gpu: GpuExecutor,
  buffers: readonly GPUBuffer[],
  mirrors: readonly Uint8Array[],
  dtype: DataType,
  places: readonly Place[],
  marks: Uint8Array,
): Promise<Outcome> {
  const width = bytesPerElement(dtype);
  let leftOut = 0;
  for (const mark of marks) leftOut += mark;
  const outcome: Outcome = { compared: marks.length - leftOut, leftOut, difference: "" };
  for (const [b, buffer] of buffers.entries()) {
    const lease = await gpu.read(gpu.span(viewOf({ buffer, dtype: "u32" })));
    const wanted = mirrors[b]!;
    const here = places.filter((place) => place.buffer === b);
    for (let i = 0; i < wanted.byteLength && outcome.difference === ""; i++) {
      if (lease.bytes[i] === wanted[i]) continue;
      const element = here.map((place) => Math.floor((i - place.byteOffset) / width)).find((at) => marks[at] === 1);
      if (element !== undefined) continue;
      outcome.difference = `buffer ${b}, byte ${i}: ${lease.bytes[i]} in place of ${wanted[i]}; element ${here.map(
        (place) => (i - place.byteOffset) / width,
      )}: ${hex(lease.bytes, i, width)} in place of ${hex(wanted, i, width)}`;
    }
    lease.release();
  }
  return outcome;
}

function hex(bytes: Uint8Array, at: number, width: number): string {
  const start = at - (at % width);
  return [...bytes.subarray(start, start + width)]
    .reverse()
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** The ways in which two operands and a target can lie, for elements of this size. */
export function placements(
  dtype: DataType,
  count: number,
): { name: string; foldCase: Pick<FoldCase, "operands" | "target">; sizes: number[] }[] {
  const width = bytesPerElement(dtype);
  const bytes = Math.ceil((count * width) / 4) * 4;
  const apart = Math.ceil((bytes + 300) / 256) * 256;
  const at = (buffer: number, byteOffset: number): Place => ({ buffer, byteOffset });
  const all = [
    { name: "three buffers", operands: [at(1, 0), at(2, 0)], target: at(0, 0), sizes: [bytes, bytes, bytes] },
    { name: "in place of the left", operands: [at(0, 0), at(1, 0)], target: 0, sizes: [bytes + 256, bytes] },
    { name: "in place of the right", operands: [at(0, 16), at(1, 0)], target: 1, sizes: [bytes + 256, bytes] },
    {
      name: "offsets 4, 256, 260",
      operands: [at(0, 256), at(1, 260)],
      target: at(2, 4),
      sizes: [bytes + 512, bytes + 512, bytes + 512],
    },
    {
      name: "one buffer, far apart",
      operands: [at(0, 0), at(0, apart)],
      target: at(0, 2 * apart),
      sizes: [3 * apart + 256],
    },
    {
      name: "one buffer, side by side",
      operands: [at(0, 0), at(0, bytes)],
      target: at(0, 2 * bytes),
      sizes: [3 * bytes + 256],
    },
    { name: "the same operand twice", operands: [at(0, 0), at(0, 0)], target: at(1, 0), sizes: [bytes, bytes] },
  ];
  const odd = [
    {
      name: "odd offsets",
      operands: [at(1, 3 * width), at(2, width)],
      target: at(0, 2 * width),
      sizes: [bytes + 32, bytes + 32, bytes + 32],
    },
    {
      name: "odd and in place",
      operands: [at(0, width), at(1, 2 * width)],
      target: 0,
      sizes: [bytes + 32, bytes + 32],
    },
    {
      name: "touching within words",
      operands: [at(0, 0), at(0, count * width)],
      target: at(0, 2 * count * width),
      sizes: [3 * bytes + 32],
    },
  ];
  return (width < 4 ? [...all, ...odd] : all).map(({ name, operands, target, sizes }) => ({
    name,
    foldCase: { operands, target },
    sizes,
  }));
}
