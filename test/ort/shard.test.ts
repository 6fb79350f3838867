import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { columnShard, rowShard, shardLengths } from "../../src/ort/index.ts";

/** Matrices side by side along the last axis, with their lengths, and a number of ranks that each have a share. */
const CUT = fc
  .record({
    size: fc.integer({ min: 1, max: 5 }),
    more: fc.integer({ min: 0, max: 6 }),
    unit: fc.integer({ min: 1, max: 3 }),
    blocks: fc.integer({ min: 1, max: 3 }),
    other: fc.integer({ min: 1, max: 4 }),
    lead: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
  })
  .map(({ size, more, ...rest }) => ({ size, length: (size + more) * rest.unit * rest.blocks, ...rest }));

const numbered = (count: number) => Float32Array.from({ length: count }, (_, i) => i);
const countOf = (dims: readonly number[]) => dims.reduce((count, length) => count * length, 1);
const ranksOf = (size: number) => Array.from({ length: size }, (_, rank) => ({ rank, size }));

describe("columnShard() and rowShard()", () => {
  it("copy their share, of a Node Buffer too, and leave the weights as they are", () => {
    fc.assert(
      fc.property(CUT, ({ size, length, unit, blocks, other }) => {
        const bytes = Uint8Array.from(numbered(other * length));
        for (const [cut, dims] of [
          [columnShard, [other, length]],
          [rowShard, [length, other]],
        ] as const) {
          for (const member of ranksOf(size)) {
            const weights = Buffer.from(bytes);
            const { data } = cut(weights, dims, member, { blocks, unit });
            expect([...data]).toEqual([...cut(bytes, dims, member, { blocks, unit }).data]);
            data.fill(255);
            expect([...weights]).toEqual([...bytes]);
          }
        }
      }),
    );
  });

  it("give every column of every block to one rank, in order, whole units each", () => {
    fc.assert(
      fc.property(CUT, ({ size, length, unit, blocks, other, lead }) => {
        const dims = [...lead, other, length];
        const weights = numbered(countOf(dims));
        const shards = ranksOf(size).map((member) => columnShard(weights, dims, member, { blocks, unit }));
        expect(shards.map(({ dims }) => dims.at(-1))).toEqual(shardLengths(length, size, { blocks, unit }));
        const rows = countOf(dims) / length;
        const joined: number[] = [];
        for (let row = 0; row < rows; row++) {
          for (let block = 0; block < blocks; block++) {
            for (const { data, dims } of shards) {
              const own = dims.at(-1) ?? 0;
              const share = own / blocks;
              expect(share % unit).toBe(0);
              joined.push(...data.subarray(row * own + block * share, row * own + (block + 1) * share));
            }
          }
        }
        expect(joined).toEqual([...weights]);
        const shares = shardLengths(length, size, { blocks, unit });
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(unit * blocks);
      }),
    );
  });

  it("cut rows like the columns of the transposed matrix", () => {
    fc.assert(
      fc.property(CUT, ({ size, length, unit, blocks, other }) => {
        const matrix = numbered(length * other);
        const transposed = Float32Array.from(matrix, (_, i) => (i % length) * other + Math.floor(i / length));
        for (const member of ranksOf(size)) {
          const rows = rowShard(matrix, [length, other], member, { blocks, unit });
          const columns = columnShard(transposed, [other, length], member, { blocks, unit });
          expect(rows.dims).toEqual([...columns.dims].reverse());
          const own = rows.dims[0] ?? 0;
          expect([...rows.data]).toEqual(
            Array.from(rows.data, (_, i) => columns.data[(i % other) * own + Math.floor(i / other)]),
          );
        }
      }),
    );
  });

  it("copy, and keep the class of the array", () => {
    const weights = Uint16Array.of(1, 2, 3, 4);
    const { data } = columnShard(weights, [4], { rank: 1, size: 2 });
    data[0] = 9;
    expect(data).toEqual(Uint16Array.of(9, 4));
    expect([...weights]).toEqual([1, 2, 3, 4]);
  });

  it.each([
    [
      () => columnShard(numbered(6), [2, 4], { rank: 0, size: 2 }),
      RangeError,
      /columnShard: dims \[2,4\] .* 6 elements/,
    ],
    [() => columnShard(numbered(6), [-2, -3], { rank: 0, size: 2 }), RangeError, /do not fit/],
    [
      () => columnShard([1, 2] as unknown as Float32Array, [2], { rank: 0, size: 2 }),
      TypeError,
      /columnShard: weights must be a typed array/,
    ],
    [() => rowShard(numbered(6), [6], { rank: 0, size: 2 }), RangeError, /rowShard: dims \[6\] have too few axes/],
    [() => columnShard(numbered(6), [6], { rank: 0, size: 7 }), RangeError, /6 units of 1 are too few for 7 ranks/],
    [() => shardLengths(12, 2, { blocks: 5 }), RangeError, /shardLengths: an axis of 12 is not 5 ×/],
    [() => shardLengths(12, 2, { unit: 0 }), RangeError, /unit must be a whole number from 1 on, got 0/],
    [() => shardLengths(12, 2, { block: 3 } as object), TypeError, /shardLengths: unknown option block; .*blocks/],
  ])("refuse what cannot be cut (%#)", (call, ErrorClass, says) => {
    expect(call).toThrow(ErrorClass);
    expect(call).toThrow(says);
  });
});
