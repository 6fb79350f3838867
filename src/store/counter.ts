/** Counter: the 64-bit integers that a store counts with, as a caller gives them and as text. */

/** The text of a counter; whether it has no more than 64 bits is looked at besides. */
const COUNTER = /^-?0*\d{1,19}$/;

/**
 * Checks what is to be added to a counter.
 * @throws TypeError or RangeError that names the key and the amount.
 */
export function checkAmount(key: string, amount: number | bigint): void {
  if (typeof amount === "bigint" ? isInt64(amount) : Number.isSafeInteger(amount)) return;
  const text = `add: the amount for the key ${shown(key)}`;
  if (typeof amount === "bigint") throw new RangeError(`${text} is ${amount}, which is no integer of 64 bits`);
  if (typeof amount !== "number") throw new TypeError(`${text} must be a number or a bigint, got ${typeof amount}`);
  throw new RangeError(`${text} is ${amount}: pass a whole number, past 2^53 a bigint`);
}

/** The 64-bit integer of which this is the decimal text, or null. */
export function toInt64(text: unknown): bigint | null {
  if (typeof text !== "string" || !COUNTER.test(text)) return null;
  const value = BigInt(text);
  return isInt64(value) ? value : null;
}

/** Has it no more than 64 bits? */
export function isInt64(value: bigint): boolean {
  return BigInt.asIntN(64, value) === value;
}

/** A key as a message shows it. */
export const shown = (key: string) => `"${key.slice(0, 200)}"`;
