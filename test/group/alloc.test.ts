/** Tensors from `group.alloc`: they know their dtype, and what is no dtype or no count is refused. */
import { afterEach, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { DATA_TYPES, type DataType } from "../../src/types.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";
import { allocSums, expectedSums } from "../helpers/alloc-sums.ts";

describe.each([...TEST_TRANSPORTS])("alloc(), over %s", (transport) => {
  it.each([1, 5, 70_000])("gives tensors of %i elements that are summed as their dtype", async (count) => {
    const sums = await withGroup(transport, 3, (group) => allocSums(group, count, 2));
    expect(sums).toEqual(Array(3).fill(expectedSums(3, 2)));
  });
});

describe("alloc(), where a clone of shared memory is a copy of it", () => {
  // WebKit's structuredClone gives such a copy: a stand-in for it.
  const original = structuredClone;
  beforeEach(() => {
    vi.stubGlobal("structuredClone", (value: unknown, options?: StructuredSerializeOptions) =>
      value instanceof SharedArrayBuffer ? value.slice(0) : original(value, options),
    );
  });
  afterEach(() => vi.unstubAllGlobals());

  it.each(["memory", "websocket"] as const)(
    "gives tensors that are summed all the same, over %s",
    async (transport) => {
      const sums = await withGroup(transport, 3, (group) => allocSums(group, 70_000, 2));
      expect(sums).toEqual(Array(3).fill(expectedSums(3, 2)));
    },
  );
});

describe("alloc()", () => {
  it("gives zeros, in the class of the dtype or with its name", async () => {
    await withGroup("memory", 1, async (group) => {
      for (const dtype of DATA_TYPES) {
        const tensor = group.alloc(dtype, 5);
        const data = "data" in tensor ? tensor.data : tensor;
        expect([...data].map(Number)).toEqual([0, 0, 0, 0, 0]);
        if ("data" in tensor) expect(tensor.dtype).toBe(dtype);
      }
      expectTypeOf(group.alloc("f32", 1)).toEqualTypeOf<Float32Array>();
      expectTypeOf(group.alloc("i64", 1)).toEqualTypeOf<BigInt64Array>();
      expectTypeOf(group.alloc("bf16", 1)).toEqualTypeOf<{ data: Uint16Array; dtype: "bf16" }>();
    });
  });

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "3", null, undefined])(
    "refuses %s as a count, and %s as a dtype",
    async (junk) => {
      await withGroup("memory", 1, async (group) => {
        expect(() => group.alloc("f32", junk as number)).toThrow(/^alloc: count must be a whole number/);
        expect(() => group.alloc(junk as DataType, 1)).toThrow(/is not a dtype/);
      });
    },
  );
});
