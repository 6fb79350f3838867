/**
 * What the fields of a tensor may be, whichever memory it is in.
 */
import { DATA_TYPES, type DataType } from "../types.ts";

/** The error of a tensor whose dtype is none. */
export function unknownDtype(dtype: unknown): TypeError {
  return new TypeError(`${String(dtype)} is not a dtype: use one of ${DATA_TYPES.join(", ")}`);
}

/** May this be an offset or a count? */
export function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @throws TypeError if `count` is none. */
export function checkCount(count: number): void {
  if (!isWhole(count)) throw new TypeError(`count of a tensor must be a whole number, got ${count}`);
}

/** @throws RangeError if the elements of a tensor end behind the `bufferBytes` of their buffer. */
export function checkEnd(
  { dtype, byteOffset, count }: { dtype: DataType; byteOffset: number; count: number },
  end: number,
  buffer: "GPUBuffer" | "DeviceBuffer",
  bufferBytes: number,
): void {
  if (end <= bufferBytes) return;
  throw new RangeError(
    `${count} elements of ${dtype} at byte ${byteOffset} end at byte ${end}, and the ${buffer} has ${bufferBytes} bytes`,
  );
}
