import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { qrCode } from "../../demo/qr.ts";

const fingerprint = (text: string) =>
  createHash("sha256")
    .update(
      qrCode(text)
        .map((row) => row.map(Number).join(""))
        .join("\n"),
    )
    .digest("hex")
    .slice(0, 16);

describe("qrCode()", () => {
  it("draws finders, timing and the one dark module, in the smallest version that holds the text", () => {
    for (const [length, size] of [
      [1, 21],
      [14, 21],
      [15, 25],
      [106, 41],
      [107, 45],
      [213, 57],
    ] as const) {
      const modules = qrCode("x".repeat(length));
      expect(modules.length).toBe(size);
      expect(modules.every((row) => row.length === size && row.every((module) => typeof module === "boolean"))).toBe(
        true,
      );
      expect(modules[size - 8]![8]).toBe(true);
      expect(modules[6]!.slice(8, size - 8).every((dark, i) => dark === (i % 2 === 0))).toBe(true);
      for (const [x, y] of [
        [0, 0],
        [size - 7, 0],
        [0, size - 7],
      ] as const) {
        expect(modules[y]!.slice(x, x + 7).every(Boolean)).toBe(true);
        expect(
          modules[y + 1]!.slice(x, x + 7)
            .map(Number)
            .join(""),
        ).toBe("1000001");
      }
    }
    expect(() => qrCode("x".repeat(214))).toThrow(RangeError);
  });

  it("draws what a reader was seen to read", () => {
    expect([fingerprint("http://192.168.178.21:29500/"), fingerprint("z".repeat(213))]).toEqual(SEEN);
  });
});

const SEEN = ["4fa0995995435d28", "f6862dc828d614e5"];
