/** What tests of mistakes share. */
import { expect } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";

/** The error of a call, thrown or rejected with. */
export async function errorOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("expected a rejection, and the call succeeded");
}

/** Collectives are still right: one of every direction of flow. */
export async function expectWhole(group: ProcessGroup): Promise<void> {
  const sum = Int32Array.of(group.rank + 1, 7);
  await group.allReduce(sum);
  expect(Array.from(sum)).toEqual([(group.size * (group.size + 1)) / 2, 7 * group.size]);
  const copy = Float64Array.of(group.rank);
  await group.broadcast(copy, { root: group.size - 1 });
  expect(copy[0]).toBe(group.size - 1);
}
