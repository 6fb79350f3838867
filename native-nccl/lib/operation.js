/** Operations as NCCL takes them. */
import { facts } from "./library.js";
import { DTYPES, isFloat8, typeName } from "./tensor.js";

const OPS = { sum: 0, product: 1, max: 2, min: 3, avg: 4 };
/** The first NCCL with PREMUL_SUM, and the first with 8-bit floats, which a device reduces from this capability on. */
const PREMUL_SUM_VERSION = 2_11_00;
const FLOAT8_VERSION = 2_24_00;
const FLOAT8_CAPABILITY = 9;

/**
 * An operation on a dtype: the code of one that NCCL has, one of `made` (by createPreMulSum, with its dtype), or a factor for
 * this call alone.
 * @throws TypeError if there is none such, or if this NCCL or this device cannot reduce so.
 */
export function operation(op, dtype, device, made) {
  checkDtype(dtype, device);
  if (typeof op === "number") {
    if (made?.get(op) !== dtype) {
      throw new TypeError(`operation ${op} was not made by createPreMulSum of this communicator for ${dtype}`);
    }
    return { code: op, factor: null };
  }
  if (typeof op === "object" && op !== null) return { code: 0, factor: factorBytes(dtype, op.factor) };
  if (!Object.hasOwn(OPS, op)) {
    throw new TypeError(`NCCL has no operation ${String(op)}: use ${Object.keys(OPS).join(", ")} or { factor }`);
  }
  return { code: OPS[op], factor: null };
}

/** @throws TypeError if this NCCL or this device cannot reduce the dtype. */
export function checkDtype(dtype, device) {
  if (!Object.hasOwn(DTYPES, dtype))
    throw new TypeError(`NCCL has no ${String(dtype)}: it can only move such elements`);
  if (!isFloat8(dtype)) return;
  const { version, devices } = facts();
  if (version < FLOAT8_VERSION) {
    throw new TypeError(`NCCL ${versionText(version)} has no ${dtype}: 2.24 or later reduces it`);
  }
  const capability = devices[device]?.computeCapability;
  if (Number(capability) < FLOAT8_CAPABILITY) {
    throw new TypeError(
      `device ${device} has compute capability ${capability}, and NCCL reduces ${dtype} from ${FLOAT8_CAPABILITY}.0 on`,
    );
  }
}

function versionText(version) {
  return [Math.floor(version / 10_000), Math.floor((version % 10_000) / 100), version % 100].join(".");
}

const INTEGERS = {
  i8: Int8Array,
  u8: Uint8Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
};

/** Bits of the fraction, the exponent's bias, and the bits of the largest number (Inf where there is one) and of NaN. */
const SMALL_FLOATS = {
  f8e4m3: { bits: Uint8Array, fraction: 3, bias: 7, largest: 0x7e, nan: 0x7f },
  f8e5m2: { bits: Uint8Array, fraction: 2, bias: 15, largest: 0x7c, nan: 0x7f },
  f16: { bits: Uint16Array, fraction: 10, bias: 15, largest: 0x7c00, nan: 0x7e00 },
  bf16: { bits: Uint16Array, fraction: 7, bias: 127, largest: 0x7f80, nan: 0x7fc0 },
};

/**
 * One element of the dtype, as bytes: integers wrap, floats are rounded.
 * @throws TypeError if it is no number, or not a whole one for integers.
 */
export function factorBytes(dtype, factor) {
  if (typeof factor !== "number" && typeof factor !== "bigint") {
    throw new TypeError(`a factor is a number or a bigint (got ${typeName(factor)})`);
  }
  const { version } = facts();
  if (version < PREMUL_SUM_VERSION) {
    throw new TypeError(`NCCL ${versionText(version)} has no operation with a factor: 2.11 or later has it`);
  }
  return new Uint8Array(elementOf(dtype, factor).buffer);
}

function elementOf(dtype, factor) {
  if (dtype === "f32") return Float32Array.of(Number(factor));
  if (dtype === "f64") return Float64Array.of(Number(factor));
  const format = SMALL_FLOATS[dtype];
  if (format) return format.bits.of(smallFloatBits(Number(factor), format));
  if (typeof factor === "number" && !Number.isInteger(factor)) {
    throw new TypeError(`a Tensor of ${dtype} needs a whole factor (got ${factor})`);
  }
  const whole = BigInt.asIntN(64, BigInt(factor));
  const isLong = dtype === "i64" || dtype === "u64";
  return INTEGERS[dtype].of(isLong ? whole : Number(BigInt.asIntN(32, whole)));
}

/** To nearest, ties to even. */
function smallFloatBits(value, { bits, fraction, bias, largest, nan }) {
  if (Number.isNaN(value)) return nan;
  const sign = value < 0 || Object.is(value, -0) ? 1 << (8 * bits.BYTES_PER_ELEMENT - 1) : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 2 ** (bias + 2)) return sign | largest;
  // Math.log2 may be off by one next to a power of two, so the exponent is corrected.
  let exponent = Math.max(Math.floor(Math.log2(magnitude || 2 ** -bias)), 1 - bias);
  if (magnitude >= 2 ** (exponent + 1)) exponent++;
  if (magnitude < 2 ** exponent && exponent > 1 - bias) exponent--;
  const units = magnitude * 2 ** (fraction - exponent);
  // Where a double's own unit is 1, adding rounds as it should. The leading bit of a normal number adds 1 to the exponent.
  const rounded = units + 2 ** 52 - 2 ** 52;
  return sign | Math.min((exponent + bias - 1) * 2 ** fraction + rounded, largest);
}
