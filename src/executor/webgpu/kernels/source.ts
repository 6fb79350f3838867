/**
 * A kernel's WGSL, put together from the files of shaders/: fold.wgsl is the one shape, and everything else fills it.
 */
import type { CustomReduceOp } from "../../../reduce-op.ts";
import { bytesPerElement, type DataType, isFloat } from "../../../types.ts";
import type { FoldName } from "../../cpu/kernels.ts";
import { SHADERS } from "./shaders.generated.ts";

/** The last step for each result of the fold: nothing, divided, or replaced by a value. */
export type Unary = "same" | "divide" | "fill";

/** The arithmetic of a kernel. */
export interface KernelWork {
  readonly dtype: DataType;
  /** Null where there is one input, or none. */
  readonly op: FoldName | CustomReduceOp | null;
  readonly unary: Unary;
}

/** How a kernel walks through memory. */
export interface KernelShape {
  /** Sixteen bytes at a time, which asks for alignment; else word by word. */
  readonly wide: boolean;
  /** Which of the bound buffers each input lies in; the output lies in buffer 0. */
  readonly inputBuffers: readonly number[];
  /** For each input: is it multiplied with the factor as it is read? */
  readonly scaled: readonly boolean[];
  /** The index of the input that is also the output, or -1. Compilers then check and compute one index for both. */
  readonly inPlace: number;
  /** For each bound buffer. All are written where the output's buffer is bound more than once. */
  readonly writable: readonly boolean[];
}

/** How many bytes a unit of the kernel has, and how its positions count. */
export interface KernelUnits {
  /** Bytes of a unit. */
  readonly bytes: number;
  /** Bytes of a position's unit: the bound array's element, or 1. */
  readonly step: number;
  /** The output's ends may lie within a word. */
  readonly ragged: boolean;
}

/** Elements in the upper bits of a lane have as many bits below. */
function spareBits(dtype: DataType): number {
  return 32 - 8 * bytesPerElement(dtype);
}

/** Work on bits alone is the same for every dtype of one layout. */
function onBits({ op, unary }: KernelWork, shape: KernelShape): boolean {
  return (op === null || op === "band" || op === "bor" || op === "bxor") && unary !== "divide" && !scales(shape);
}

function scales({ scaled }: KernelShape): boolean {
  return scaled.includes(true);
}

/** Does the device's own f16 type do this work? */
function isNativeF16({ dtype, op }: KernelWork, shape: KernelShape, nativeF16: boolean): boolean {
  const computes = op === "sum" || op === "product" || (op === null && scales(shape));
  return nativeF16 && shape.wide && dtype === "f16" && computes;
}

/** Does a kernel treat elements as pairs of words? */
function inPairs(work: KernelWork, shape: KernelShape): boolean {
  return bytesPerElement(work.dtype) === 8 && (!onBits(work, shape) || work.unary === "fill");
}

/** The units of a kernel's positions and counts. */
export function kernelUnits(work: KernelWork, shape: KernelShape, nativeF16: boolean): KernelUnits {
  if (isNativeF16(work, shape, nativeF16)) return { bytes: 8, step: 8, ragged: false };
  if (shape.wide) return { bytes: 16, step: 16, ragged: false };
  if (inPairs(work, shape)) return { bytes: 8, step: 4, ragged: false };
  return { bytes: 4, step: 4, ragged: bytesPerElement(work.dtype) < 4 };
}

/** The whole shader of a kernel. */
export function kernelSource(work: KernelWork, shape: KernelShape, nativeF16: boolean): string {
  const { writable } = shape;
  const native = isNativeF16(work, shape, nativeF16);
  const bindings = writable.map(
    (written, b) =>
      `@group(0) @binding(${b + 1}) var<storage, ${written ? "read_write" : "read"}> buffer${b}: array<T>;`,
  );
  const filled = fillIn(SHADERS.fold, {
    bindings: bindings.join("\n"),
    access: accessSource(work, shape, native),
    kernel: native ? nativeSource(work) : arithmeticSource(work, shape),
    body: bodySource(work, shape),
  });
  return (native ? "enable f16;\n" : "") + filled;
}

function accessSource(work: KernelWork, shape: KernelShape, native: boolean): string {
  const { wide, inputBuffers, inPlace } = shape;
  const at = (n: number) => `params.inputs[${Math.floor(n / 4)}].${"xyzw"[n % 4]}`;
  const inputs = inputBuffers.map((buffer, n) => ({ n: String(n), buffer: String(buffer), at: at(n) }));
  const parts: string[] = [];
  const pairs = inPairs(work, shape);
  if (native) parts.push(SHADERS["width-f16"], SHADERS["access-words"]);
  else if (pairs && wide) parts.push(SHADERS["width-2"], SHADERS["access-pairs-2"]);
  else if (pairs) parts.push(SHADERS["width-1"], SHADERS["access-pairs-1"]);
  else if (wide) parts.push(SHADERS["width-4"], SHADERS["access-words"]);
  else if (bytesPerElement(work.dtype) < 4) parts.push(SHADERS["width-1"], SHADERS["access-bytes"]);
  else parts.push(SHADERS["width-1"], SHADERS["access-words"]);
  if (work.unary === "fill") {
    const value = pairs ? "U(V(params.factor.x), V(params.factor.y))" : "V(params.factor.x)";
    parts.push(fillIn(SHADERS.fill, { value }));
  }
  return fillIn(repeat(parts.join("\n"), "inputs", inputs), {
    outputBuffer: "0",
    outputAt: inPlace < 0 ? "params.output" : at(inPlace),
  });
}

const OP_FUNCTION: Readonly<Record<FoldName, string>> = {
  ...{ sum: "sum", product: "product", min: "minimum", max: "maximum" },
  ...{ band: "band", bor: "bor", bxor: "bxor" },
};

function opFunction({ op }: KernelWork, none: string): string {
  if (op === null) return none;
  return typeof op === "string" ? OP_FUNCTION[op] : "custom";
}

function nativeSource(work: KernelWork): string {
  return fillIn(SHADERS["f16-native"], { op: opFunction(work, "sum") });
}

/** combine() and apply(), and all that they call. No kernel has both to divide and to scale. */
function arithmeticSource(work: KernelWork, shape: KernelShape): string {
  const { dtype, op, unary } = work;
  const changed = scales(shape) ? "scale" : unary === "divide" ? "divide" : "same";
  const names = { unary: changed, spare: String(spareBits(dtype)) };
  const custom = op !== null && typeof op === "object" ? op : null;
  if (inPairs(work, shape)) {
    const parts = [SHADERS.pairs, custom ? customSource(custom, dtype) : orderOfPairs(dtype)];
    return fillIn(parts.join("\n"), { ...names, op: opFunction(work, "sum") });
  }
  const width = bytesPerElement(dtype);
  if (onBits(work, shape)) {
    return fillIn(`${SHADERS.bits}\n${SHADERS["lanes-1"]}`, { ...names, op: opFunction(work, "bor") });
  }
  if (op === "sum" && changed === "same" && !isFloat(dtype) && width < 4) {
    const sum = width === 1 ? "sum_of_bytes" : "sum_of_halves";
    return fillIn(`${SHADERS.bits}\n${SHADERS["lanes-1"]}`, { ...names, op: sum });
  }
  const lanes = SHADERS[`lanes-${(4 / width) as 1 | 2 | 4}`];
  const elements = isFloat(dtype) ? floatSource(dtype) : integerSource(dtype);
  const parts = [SHADERS.bits, elements, custom ? customSource(custom, dtype) : "", lanes];
  return fillIn(parts.join("\n"), { ...names, op: opFunction(work, "sum") });
}

function isSigned(dtype: DataType): boolean {
  return dtype.startsWith("i");
}

function orderOfPairs(dtype: DataType): string {
  if (dtype === "f64") return SHADERS["f64-order"];
  return isSigned(dtype) ? SHADERS["pairs-signed"] : SHADERS["pairs-unsigned"];
}

function integerSource(dtype: DataType): string {
  return `${SHADERS.integer}\n${isSigned(dtype) ? SHADERS["integer-signed"] : SHADERS["integer-unsigned"]}`;
}

/** The largest number of each type, Inf where there is one, and its canonical NaN, in the upper bits of a lane. */
const ORDER_CONSTANTS = {
  f8e4m3: { largest: "0x7e000000i", nan: "0x7f000000u" },
  f8e5m2: { largest: "0x7c000000i", nan: "0x7f000000u" },
  f16: { largest: "0x7c000000i", nan: "0x7e000000u" },
  bf16: { largest: "0x7f800000i", nan: "0x7fc00000u" },
  f32: { largest: "0x7f800000i", nan: "0x7fc00000u" },
} as const;

/**
 * What small-float.wgsl is filled with. `firstSpecial`, `largest` and `nan` are bits of the type: the first pattern that is no
 * number, the largest number (Inf where there is one), and the canonical NaN; `limit` is bits of an f32.
 */
const SMALL_FLOATS: Partial<Record<DataType, Readonly<Record<string, string>>>> = {
  f8e4m3: {
    ...{ bits: "8", fraction: "3", bias: "7" },
    ...{ firstSpecial: "0x7f", largest: "0x7e", limit: "0x43e00000", nan: "0x7f" },
  },
  f8e5m2: {
    ...{ bits: "8", fraction: "2", bias: "15" },
    ...{ firstSpecial: "0x7c", largest: "0x7c", limit: "0x47800000", nan: "0x7f" },
  },
  f16: {
    ...{ bits: "16", fraction: "10", bias: "15" },
    ...{ firstSpecial: "0x7c00", largest: "0x7c00", limit: "0x47800000", nan: "0x7e00" },
  },
};

function floatSource(dtype: DataType): string {
  const order = fillIn(SHADERS["float-order"], ORDER_CONSTANTS[dtype as keyof typeof ORDER_CONSTANTS]);
  return `${order}\n${SHADERS.float}\n${floatConversions(dtype)}`;
}

/**
 * WGSL's `widen` and `narrow` of a float of 8 to 32 bits, in the upper bits of a lane, to f32 and back. They use the types of
 * width-1.wgsl or width-4.wgsl, and `is_nan_f32`.
 */
export function floatConversions(dtype: DataType): string {
  const small = SMALL_FLOATS[dtype];
  return small ? fillIn(SHADERS["small-float"], small) : SHADERS[dtype as "bf16" | "f32"];
}

/** The WGSL type that a custom operation's expression sees. */
function elementType(dtype: DataType): string {
  if (bytesPerElement(dtype) === 8) return "vec2<u32>";
  if (isFloat(dtype)) return "f32";
  return isSigned(dtype) ? "i32" : "u32";
}

function customSource({ wgsl }: CustomReduceOp, dtype: DataType): string {
  const element = elementType(dtype);
  const pairs = bytesPerElement(dtype) === 8;
  const kind = isSigned(dtype) ? SHADERS["custom-signed"] : SHADERS["custom-unsigned"];
  const casts = pairs ? SHADERS["custom-pairs"] : isFloat(dtype) ? SHADERS["custom-float"] : kind;
  return `${casts}\n${fillIn(SHADERS.custom, { element, lane: pairs ? "U" : "V", expression: wgsl })}`;
}

function bodySource({ dtype, unary, op }: KernelWork, { scaled }: KernelShape): string {
  // Between two float operations.
  const pinned = (value: string) => (op !== null && isFloat(dtype) && dtype !== "f64" ? `pinned(${value})` : value);
  const input = (n: number) => (scaled[n] ? pinned(`apply(load${n}(i))`) : `load${n}(i)`);
  const lines = [`var value = ${input(0)};`];
  for (let n = 1; n < scaled.length; n++) {
    lines.push(`value = combine(${n === 1 ? "value" : pinned("value")}, ${input(n)});`);
  }
  lines.push(`store(i, ${unary === "divide" ? "apply(value)" : "value"});`);
  return lines.join("\n    ");
}

/** Replaces `{{name}}`; names that are not given stay. */
function fillIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{\{(\w+)\}\}/g, (placeholder, name: string) => values[name] ?? placeholder);
}

/** Writes the lines between `{{#name}}` and `{{/name}}` once for each item. */
function repeat(template: string, name: string, items: readonly Readonly<Record<string, string>>[]): string {
  const block = new RegExp(`\\{\\{#${name}\\}\\}\\n?([^]*?)\\{\\{/${name}\\}\\}`, "g");
  return template.replace(block, (_, body: string) => items.map((item) => fillIn(body, item)).join(""));
}
