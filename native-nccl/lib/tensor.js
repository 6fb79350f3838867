/** Tensors and operations as NCCL takes them. */
import { DeviceBuffer } from "./memory.js";

/** NCCL's codes. */
export const DTYPES = { i8: 0, u8: 1, i32: 2, u32: 3, i64: 4, u64: 5, f16: 6, f32: 7, f64: 8, bf16: 9 };
const BYTES = { i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8, f16: 2, bf16: 2, f32: 4, f64: 8 };
const OPS = { sum: 0, product: 1, max: 2, min: 3, avg: 4 };

/** Dtype, count and position of a tensor; `movable` allows dtypes that NCCL moves as bytes alone. */
export function describe(tensor, name, movable = false) {
  const { cuda, dtype, byteOffset = 0 } = tensor ?? {};
  if (!(cuda instanceof DeviceBuffer)) {
    throw new TypeError(`expected Tensor at ${name} (got ${tensor === null ? "null" : typeof tensor})`);
  }
  const width = BYTES[dtype];
  if (width === undefined) throw new TypeError(`${name}: ${dtype} is not a dtype`);
  const { count = Math.floor((cuda.byteLength - byteOffset) / width) } = tensor;
  if (!(dtype in DTYPES) && !movable) throw new TypeError(`${name}: NCCL has no ${dtype}`);
  const asBytes = !(dtype in DTYPES);
  return {
    cuda,
    buffer: DeviceBuffer.handle(cuda),
    byteOffset,
    bytes: count * width,
    dtype,
    code: asBytes ? DTYPES.u8 : DTYPES[dtype],
    count: asBytes ? count * width : count,
  };
}

const FACTORS = {
  i8: Int8Array,
  u8: Uint8Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f32: Float32Array,
  f64: Float64Array,
};

/** One element of the dtype, as bytes. */
export function factorBytes(dtype, factor) {
  if (dtype === "f16") return new Uint8Array(Uint16Array.of(halfBits(Number(factor))).buffer);
  if (dtype === "bf16") {
    const bits = new Uint32Array(Float32Array.of(Number(factor)).buffer)[0];
    return new Uint8Array(Uint16Array.of((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16).buffer);
  }
  const big = dtype === "i64" || dtype === "u64";
  return new Uint8Array(FACTORS[dtype].of(big ? BigInt(factor) : Number(factor)).buffer);
}

/** Nearest f16, ties to even. */
function halfBits(value) {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(magnitude || 1e-9)), -14);
  const units = magnitude / 2 ** (exponent - 10);
  const whole = Math.floor(units);
  const rest = units - whole;
  const rounded = rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
  return sign | ((exponent + 14) * 1024 + rounded);
}

/** An operation: the code of one that NCCL has, one made by createPreMulSum, or a factor for this call alone. */
export function operation(op, dtype) {
  if (typeof op === "number") return { code: op, factor: null };
  if (typeof op === "object" && op !== null) return { code: 0, factor: factorBytes(dtype, op.factor) };
  if (!(op in OPS)) throw new TypeError(`NCCL has no operation ${String(op)}: use ${Object.keys(OPS).join(", ")}`);
  return { code: OPS[op], factor: null };
}
