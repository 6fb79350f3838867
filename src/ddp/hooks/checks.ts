/** Checks of the options of hook states. */
import type { ProcessGroup } from "../../group/process-group.ts";

/** @throws TypeError if `group` is not a ProcessGroup. */
export function checkGroup(where: string, group: ProcessGroup): void {
  if (typeof group === "object" && group !== null && typeof group.allReduce === "function") return;
  throw new TypeError(`${where}: group must be the ProcessGroup that reduces, got ${String(group)}`);
}

/** @throws TypeError if `value` is neither true nor false. */
export function checkFlag(where: string, name: string, value: unknown): void {
  if (typeof value !== "boolean") throw new TypeError(`${where}: ${name} must be true or false, got ${String(value)}`);
}

/** @throws RangeError if `seed` is no whole number of 32 bits: of a longer one the generator would drop bits. */
export function checkSeed(where: string, seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0 && seed < 2 ** 32) return;
  throw new RangeError(`${where}: seed must be a whole number from 0 to 4294967295, got ${String(seed)}`);
}

/** @throws RangeError if `value` is no whole number from `least` on. */
export function checkWhole(where: string, name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new RangeError(`${where}: ${name} must be a whole number from ${least} on, got ${String(value)}`);
}
