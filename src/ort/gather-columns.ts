/**
 * Rows of which each rank has some columns, joined on every rank. The parts of the ranks come one behind the other; where
 * there is more than one row, they are moved to their places afterwards.
 */
import { UnsupportedError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { CollectiveOptions } from "../options.ts";
import { describe } from "../tensor/describe.ts";
import { isWhole } from "../tensor/field-checks.ts";
import { partOfTensor } from "../tensor/part.ts";
import { bytesPerElement, type DataType, type Tensor } from "../types.ts";
import { createTensorBuffer, gpuTensor } from "./make-tensor.ts";
import { arrayFor, type OrtOutput, type OrtTensorClass, type OrtType } from "./onnx-runtime.ts";

/** What the joined tensor is. */
interface Layout {
  type: OrtType;
  dtype: DataType;
  dims: readonly number[];
  rows: number;
  /** Of each rank, its columns, and the first of them. */
  columns: readonly number[];
  starts: readonly number[];
  /** Columns of all ranks. */
  total: number;
}

/** Memory for the parts of all ranks, and the tensor that they become. */
interface Place<T> {
  apart: Tensor;
  join(): T;
  discard(): void;
}

/** How parts are joined. `columns` are those of each rank's part, by default all equal. */
export interface Gathering<T> {
  Tensor: OrtTensorClass<T>;
  columns?: readonly number[] | undefined;
  call: CollectiveOptions;
}

/** Checks `part`, and gives the call that joins those of every rank along their last axis. */
export function prepareGather<T extends OrtOutput>(
  group: ProcessGroup,
  part: OrtOutput,
  { Tensor, columns, call }: Gathering<T>,
): () => Promise<T> {
  const layout = layoutOf(group, part, columns);
  const isOnGpu = describe(part).memory === "gpu";
  const place = isOnGpu ? placeOnGpu(Tensor, group.device, layout) : placeOnHost(Tensor, layout);
  const { rows, starts } = layout;
  const parts = layout.columns.map((one, rank) => partOfTensor(place.apart, rows * (starts[rank] ?? 0), rows * one));
  return async () => {
    try {
      await group.allGather(parts, part, call);
      return place.join();
    } catch (error) {
      place.discard();
      throw error;
    }
  };
}

/** A copy of `columns`. @throws RangeError if they are not one whole number for each rank. */
export function checkColumns(columns: readonly number[], size: number): number[] {
  if (!Array.isArray(columns) || columns.length !== size || !columns.every(isWhole)) {
    throw new RangeError(`columns [${String(columns)}] must have one whole number for each of ${size} ranks`);
  }
  return [...columns];
}

function layoutOf({ rank, size }: ProcessGroup, part: OrtOutput, given?: readonly number[]): Layout {
  const { dtype } = describe(part);
  const lead = part.dims.slice(0, -1);
  const own = part.dims.at(-1);
  if (own === undefined) throw new TypeError("an output without axes has no columns: use runRowParallel");
  const columns = given ?? Array.from({ length: size }, () => own);
  if (columns[rank] !== own) {
    throw new RangeError(
      `columns [${columns}] must have one whole number for each of ${size} ranks, and ${own} for rank ${rank}`,
    );
  }
  let total = 0;
  const starts = columns.map((one) => {
    total += one;
    return total - one;
  });
  const rows = lead.reduce((product, length) => product * length, 1);
  return { type: part.type as OrtType, dtype, dims: [...lead, total], rows, columns, starts, total };
}

function placeOnHost<T>(Tensor: OrtTensorClass<T>, layout: Layout): Place<T> {
  const { type, dtype, dims, rows, total } = layout;
  const apart = arrayFor(type, rows * total);
  const join = () => {
    if (rows === 1) return new Tensor(type, apart, dims);
    const joined = arrayFor(type, rows * total);
    const [bytes, width] = [new Uint8Array(joined.buffer), joined.BYTES_PER_ELEMENT];
    for (const { from, to, count } of runsOf(layout)) {
      bytes.set(new Uint8Array(apart.buffer, from * width, count * width), to * width);
    }
    return new Tensor(type, joined, dims);
  };
  return { apart: { data: apart, dtype }, join, discard: () => {} };
}

function placeOnGpu<T extends OrtOutput>(
  Tensor: OrtTensorClass<T>,
  device: GPUDevice | null,
  layout: Layout,
): Place<T> {
  if (!device)
    throw new TypeError("the output lies in a GPUBuffer, and the group has no GPU: give initProcessGroup the device");
  const { type, dtype, dims, rows, total, columns } = layout;
  const width = bytesPerElement(dtype);
  const odd = columns.find((one) => (one * width) % 4 !== 0);
  if (odd !== undefined) {
    throw new UnsupportedError(
      `${odd} columns of ${type} do not fill whole words of a GPUBuffer: cut columns in units of ${4 / width}, or set preferredOutputLocation to "cpu"`,
    );
  }
  const bytes = rows * total * width;
  const apart = createTensorBuffer(device, bytes);
  const join = () => {
    if (rows === 1) return gpuTensor(Tensor, { device, buffer: apart }, { type, dims, bytes });
    const buffer = createTensorBuffer(device, bytes);
    try {
      const encoder = device.createCommandEncoder();
      for (const { from, to, count } of runsOf(layout)) {
        encoder.copyBufferToBuffer(apart, from * width, buffer, to * width, count * width);
      }
      device.queue.submit([encoder.finish()]);
      const joined = gpuTensor(Tensor, { device, buffer }, { type, dims, bytes });
      apart.destroy();
      return joined;
    } catch (error) {
      buffer.destroy();
      throw error;
    }
  };
  return { apart: { buffer: apart, dtype, count: rows * total }, join, discard: () => apart.destroy() };
}

/** For each row and rank, where its elements lie behind the others' and where they belong. */
function* runsOf({ rows, columns, starts, total }: Layout): Generator<{ from: number; to: number; count: number }> {
  for (const [rank, count] of columns.entries()) {
    const start = starts[rank] ?? 0;
    for (let row = 0; row < rows; row++) yield { from: rows * start + row * count, to: row * total + start, count };
  }
}
