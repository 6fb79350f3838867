import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPartOf, KeptBytes } from "../../src/link/payload/kept-bytes.ts";

const KIB = 1024;
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) % 256);

describe("KeptBytes", () => {
  it("gives back what came, copied to it or read to where it said, in pieces of any length", () => {
    const lengths = fc.infiniteStream(fc.integer({ min: 1, max: 200 * KIB }));
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 700 * KIB }),
        lengths,
        fc.infiniteStream(fc.boolean()),
        (length, cuts, own) => {
          const whole = pattern(length);
          const kept = new KeptBytes(length);
          for (let at = 0; at < length; ) {
            const room = own.next().value ? kept.room()! : null;
            const part = Math.min(cuts.next().value, length - at, room?.byteLength ?? length);
            room?.set(whole.subarray(at, at + part));
            kept.push(room ? room.subarray(0, part) : whole.subarray(at, at + part));
            at += part;
          }
          const target = new Uint8Array(length);
          kept.copyTo(target);
          kept.release();
          expect(Buffer.compare(target, whole)).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("takes memory for a long message piece by piece, and for the next the same", () => {
    const declared = 2 ** 32 - 1;
    const first = new KeptBytes(declared);
    const piece = first.room()!;
    expect(piece.byteLength).toBe(256 * KIB);
    first.push(piece);
    first.release();
    expect(new KeptBytes(declared).room()!.buffer).toBe(piece.buffer);
  });

  it("does not give a piece that is not full to another message: its socket may read into it", () => {
    const first = new KeptBytes(512 * KIB);
    const piece = first.room()!;
    first.push(piece.subarray(0, 100));
    first.release();
    expect(new KeptBytes(512 * KIB).room()!.buffer).not.toBe(piece.buffer);
  });
});

describe("isPartOf()", () => {
  it("is true of the bytes at that place alone", () => {
    const room = new Uint8Array(8);
    expect(isPartOf(room, 2, room.subarray(2, 4))).toBe(true);
    expect(isPartOf(room, 2, room.subarray(3, 4))).toBe(false);
    expect(isPartOf(room, 2, new Uint8Array(8).subarray(2, 4))).toBe(false);
  });
});
