/**
 * From a fold over spans to dispatches. WebGPU's rules are kept here:
 *
 * - A binding begins at a multiple of 256 bytes, so a span is bound as the window of its buffer around it, and the kernel is
 *   told where in the window it begins.
 * - A buffer may not be bound for writing and for reading in one dispatch, nor twice for writing where the windows overlap.
 *   Overlapping windows of one buffer are therefore one binding, and all bindings of the output's buffer are writable.
 * - A binding has at most `maxStorageBufferBindingSize` bytes: longer spans are cut into pieces.
 * - A dimension has at most 65,535 workgroups: the grid has two.
 */
import type { Batch, Command } from "../batch.ts";
import type { GpuDevice } from "../device.ts";
import type { FactorBits, GpuSpan } from "../memory/span.ts";
import type { Parameters } from "./parameters.ts";
import { type KernelShape, type KernelUnits, type KernelWork, kernelUnits } from "./source.ts";

/** A fold's arithmetic with its numbers. */
export interface Fold {
  readonly work: KernelWork;
  /** The bits of a value to fill with. Inputs bring their own factor. */
  readonly value?: FactorBits;
  readonly divisor?: number;
}

/** The limits of the device that decide how a fold is cut up. */
export interface FoldLimits {
  /** Most bytes of one binding. */
  readonly bindingBytes: number;
  readonly nativeF16: boolean;
}

/** A stretch of a buffer that is bound. */
interface Window {
  readonly buffer: GPUBuffer;
  start: number;
  end: number;
}

/** A dispatch without its pipeline. */
export interface Dispatch {
  readonly shape: KernelShape;
  readonly windows: readonly Window[];
  readonly parameters: Parameters;
  /** Workgroups in x and y. */
  readonly grid: readonly [x: number, y: number];
}

const WINDOW_ALIGNMENT = 256;
const WIDE_BYTES = 16;
/** Kernels of the native f16 take their NaN from the second word. */
const NO_FACTOR = [0, 0x7fc00000] as const;
/** Invocations of a workgroup, as fold.wgsl has it: each does one unit. */
const WORKGROUP_SIZE = 256;
const MOST_WORKGROUPS_PER_DIMENSION = 65_535;

/**
 * The dispatches that do `fold`, in any order. Equal byte lengths; `target` is an input or disjoint from all. Of the inputs
 * that are multiplied with a factor as they are read, all have the same.
 */
export function planFold(fold: Fold, target: GpuSpan, inputs: readonly GpuSpan[], limits: FoldLimits): Dispatch[] {
  const spans = [target, ...inputs];
  const aliased = inputs.some(({ buffer }) => buffer === target.buffer) || hasRepeats(inputs);
  // Overlapping windows become one, which has then to hold all of them.
  const room = aliased ? limits.bindingBytes / spans.length : limits.bindingBytes;
  const pieceBytes = Math.floor(room / WINDOW_ALIGNMENT - 2) * WINDOW_ALIGNMENT;
  const isWide = spans.every(({ byteOffset }) => byteOffset % WIDE_BYTES === 0) && !isCustom(fold.work);
  const dispatches: Dispatch[] = [];
  for (let start = 0; start < target.byteLength; start += pieceBytes) {
    const end = Math.min(target.byteLength, start + pieceBytes);
    const narrowFrom = isWide ? end - ((end - start) % WIDE_BYTES) : start;
    if (narrowFrom > start) dispatches.push(planPiece(fold, target, inputs, [start, narrowFrom], true, limits));
    if (narrowFrom < end) dispatches.push(planPiece(fold, target, inputs, [narrowFrom, end], false, limits));
  }
  return dispatches;
}

/** Bytes `from` to `to` of every span. */
function planPiece(
  { work, value = NO_FACTOR, divisor = 1 }: Fold,
  target: GpuSpan,
  inputs: readonly GpuSpan[],
  [from, to]: readonly [from: number, to: number],
  wide: boolean,
  limits: FoldLimits,
): Dispatch {
  // The output's window is the first: it is added first, and merging keeps the earlier one's index.
  const windows: Window[] = [];
  for (const { buffer, byteOffset } of [target, ...inputs]) {
    addWindow(windows, buffer, byteOffset + from, byteOffset + to);
  }
  const windowOf = ({ buffer, byteOffset }: GpuSpan): Window => {
    const at = byteOffset + from;
    const found = windows.find((window) => window.buffer === buffer && window.start <= at && at < window.end);
    if (!found) throw new Error("a span lies in no window");
    return found;
  };
  const inWindow = (span: GpuSpan) => span.byteOffset + from - windowOf(span).start;
  const inputBuffers = inputs.map((span) => windows.indexOf(windowOf(span)));
  const writable = windows.map(({ buffer }) => buffer === target.buffer);
  const inPlace = inputs.findIndex((span) => span.isSameAs(target));
  const scaled = inputs.map(({ factor }) => factor !== null);
  const factor = inputs.find((span) => span.factor)?.factor ?? value;
  const shape = { wide, inputBuffers, scaled, inPlace, writable };
  const units = kernelUnits(work, shape, limits.nativeF16);
  const positions = positionsOf(units, inWindow(target), inputs.map(inWindow), to - from);
  return {
    shape,
    windows,
    parameters: { ...positions, factor, divisor },
    grid: gridFor(positions.units),
  };
}

/** Adds the window around bytes `from` to `to`, or widens the ones it overlaps into one. */
function addWindow(windows: Window[], buffer: GPUBuffer, from: number, to: number): void {
  const added = { buffer, start: from - (from % WINDOW_ALIGNMENT), end: Math.ceil(to / 4) * 4 };
  const overlapping = windows.filter(
    (window) => window.buffer === buffer && window.start < added.end && window.end > added.start,
  );
  const [kept, ...others] = overlapping;
  if (!kept) {
    windows.push(added);
    return;
  }
  kept.start = Math.min(added.start, ...overlapping.map(({ start }) => start));
  kept.end = Math.max(added.end, ...overlapping.map(({ end }) => end));
  for (const other of others) windows.splice(windows.indexOf(other), 1);
}

/** Where the kernel finds `length` bytes of the output and of each input; `output` and `inputs` are offsets in their windows. */
function positionsOf(
  { bytes, step, ragged }: KernelUnits,
  output: number,
  inputs: readonly number[],
  length: number,
): Pick<Parameters, "units" | "firstMask" | "lastMask" | "output" | "inputs"> {
  const lead = ragged ? output % 4 : 0;
  const tail = (lead + length) % 4;
  return {
    units: Math.ceil((lead + length) / bytes),
    firstMask: (0xffffffff << (8 * lead)) >>> 0,
    lastMask: tail === 0 || !ragged ? 0xffffffff : 2 ** (8 * tail) - 1,
    output: Math.floor(output / step),
    inputs: inputs.map((input) => (ragged ? input - lead + 4 : input / step)),
  };
}

/** Workgroups for so many units, in as few rows as will do; the last row may be less than full. */
function gridFor(units: number): readonly [x: number, y: number] {
  const workgroups = Math.ceil(units / WORKGROUP_SIZE);
  const rows = Math.ceil(workgroups / MOST_WORKGROUPS_PER_DIMENSION);
  return [Math.ceil(workgroups / rows), rows];
}

/** The dispatch as a command. */
export function foldCommand(device: GpuDevice, work: KernelWork, dispatch: Dispatch, nativeF16: boolean): Command {
  const { shape, windows, parameters, grid } = dispatch;
  return {
    buffers: windows.map(({ buffer }) => buffer),
    encode(batch: Batch) {
      const { pipeline, layout } = device.pipelines.get(work, shape, nativeF16);
      const slot = device.parameters.add(parameters);
      const group = device.device.createBindGroup({
        layout,
        entries: [
          { binding: 0, resource: { buffer: device.parameters.buffer, size: 64 } },
          ...windows.map(({ buffer, start, end }, b) => ({
            binding: b + 1,
            resource: { buffer, offset: start, size: end - start },
          })),
        ],
      });
      const pass = batch.pass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group, [slot]);
      pass.dispatchWorkgroups(...grid);
      device.stats.dispatches++;
    },
  };
}

/** A user's expression sees one element at a time. */
function isCustom({ op }: KernelWork): boolean {
  return op !== null && typeof op === "object";
}

function hasRepeats(spans: readonly GpuSpan[]): boolean {
  return new Set(spans.map(({ buffer }) => buffer)).size < spans.length;
}
