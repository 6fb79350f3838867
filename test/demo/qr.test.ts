import { describe, expect, it } from "vitest";
import { qrCode } from "../../demo/qr.ts";

describe("qrCode()", () => {
  it("draws a square with a finder in three corners, as large as the link needs", () => {
    for (const [length, size] of [
      [14, 21],
      [106, 41],
    ] as const) {
      const modules = qrCode("x".repeat(length));
      expect(modules.map((row) => row.length)).toEqual(Array(size).fill(size));
      for (const [x, y] of [
        [0, 0],
        [size - 7, 0],
        [0, size - 7],
      ] as const) {
        expect(modules[y]!.slice(x, x + 7).every(Boolean)).toBe(true);
      }
    }
  });
});
