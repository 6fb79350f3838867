import { describe, expect, it } from "vitest";
import { elementsPerSegment, partition, segmentRange } from "../../src/algorithm/toolkit/partition.ts";
import { bytesPerElement, DATA_TYPES } from "../../src/types.ts";

describe("partition()", () => {
  it("covers every element once, at multiples of 64 bytes, in lengths that differ by at most 64 bytes", () => {
    for (const dtype of DATA_TYPES) {
      const bytes = bytesPerElement(dtype);
      for (const count of [0, 1, 3, 17, 64, 65, 1000, 65537, 2 ** 33 + 5]) {
        for (const parts of [1, 2, 3, 7, 8, 64]) {
          const chunks = partition(count, parts, dtype);
          expect(chunks).toHaveLength(parts);
          let next = 0;
          for (const chunk of chunks) {
            expect(chunk.start).toBe(next);
            expect(chunk.start === count || (chunk.start * bytes) % 64 === 0).toBe(true);
            next += chunk.count;
          }
          expect(next).toBe(count);
          const lengths = chunks.map((chunk) => chunk.count * bytes);
          // The end of the tensor may shorten the last chunk by part of a block more.
          expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThan(128);
        }
      }
    }
  });
});

describe("elementsPerSegment()", () => {
  it("is what fits, and at least one", () => {
    expect(elementsPerSegment(100, "f64")).toBe(12);
    expect(elementsPerSegment(3, "f32")).toBe(1);
  });
});

describe("segmentRange()", () => {
  it("cuts a chunk into full segments and a rest, and is empty behind it", () => {
    expect([0, 1, 2, 3].map((index) => segmentRange(25, index, 10))).toEqual([
      { start: 0, count: 10 },
      { start: 10, count: 10 },
      { start: 20, count: 5 },
      { start: 25, count: 0 },
    ]);
  });
});
