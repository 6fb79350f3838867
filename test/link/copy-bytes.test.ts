import { describe, expect, it } from "vitest";
import { copyBytes } from "../../src/link/payload/copy-bytes.ts";

describe("copyBytes()", () => {
  it("copies every length, however source and target lie, and nothing beside", () => {
    const source = Uint8Array.from({ length: 150_000 }, (_, i) => (i * 13) % 251);
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
    for (const buffer of [memory.buffer, new ArrayBuffer(4 * 65_536)]) {
      for (const length of [0, 1, 255, 256, 257, 65_536, 65_537, 140_000]) {
        for (const [from, to] of [
          [0, 0],
          [3, 0],
          [0, 5],
          [6, 6],
          [1, 9],
          [7, 2],
        ] as const) {
          const all = new Uint8Array(buffer).fill(0xee);
          const target = all.subarray(64 + to);
          copyBytes(target, 8, source.subarray(from, from + length));
          const start = 64 + to + 8;
          expect(Buffer.compare(all.subarray(start, start + length), source.subarray(from, from + length))).toBe(0);
          expect([all[start - 1], all[start + length]]).toEqual([0xee, 0xee]);
        }
      }
    }
  });
});
