import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadChecksums } from "../../src/executor/checksum/checksums.ts";
import { WasmMemory } from "../../src/executor/cpu/wasm-memory.ts";
import { CHECKSUM_BYTES, type Checksums } from "../../src/wire/checksum.ts";

const memory = new WasmMemory();
const wasm = await loadChecksums(memory);
const plain = await loadChecksums(null);

function hex(sum: Uint8Array): string {
  return new DataView(sum.buffer, sum.byteOffset).getBigUint64(0, true).toString(16).padStart(16, "0");
}

function sumOf(checksums: Checksums, bytes: Uint8Array, seed = 0n): string {
  const sum = new Uint8Array(CHECKSUM_BYTES);
  checksums.write(bytes, Number(seed & 0xffffffffn), Number(seed >> 32n), sum, 0);
  return hex(sum);
}

/** The bytes of xxHash's own sanity check. */
function sanityBytes(length: number): Uint8Array {
  let state = 2654435761n;
  return Uint8Array.from({ length }, () => {
    const byte = Number(state >> 56n);
    state = (state * 11400714785074694797n) & 0xffffffffffffffffn;
    return byte;
  });
}

/** Length, seed and XXH64 of those bytes (github.com/Cyan4973/xxHash, tests/sanity_test_vectors.h). */
const SANITY = [
  [0, 0n, "ef46db3751d8e999"],
  [0, 2654435761n, "ac75fda2929b17ef"],
  [1, 0n, "e934a84adb052768"],
  [1, 2654435761n, "5014607643a9b4c3"],
  [4, 0n, "9136a0dca57457ee"],
  [14, 0n, "8282dcc4994e35c8"],
  [14, 2654435761n, "c3bd6bf63deb6df0"],
  [222, 0n, "b641ae8cb691c174"],
  [222, 2654435761n, "20cb8ab7ae10c14a"],
] as const;

const TEXTS = [
  ["a", "d24ec4f1a98c6e5b"],
  ["abc", "44bc2cf5ad770999"],
] as const;

describe("loadChecksums()", () => {
  it("takes WebAssembly where it may run", () => {
    expect([wasm.description, plain.description]).toEqual(["wasm", "plain"]);
  });

  it.each([wasm, plain])("gives published values of XXH64 ($description)", (checksums) => {
    for (const [length, seed, expected] of SANITY) expect(sumOf(checksums, sanityBytes(length), seed)).toBe(expected);
    for (const [text, expected] of TEXTS) expect(sumOf(checksums, new TextEncoder().encode(text))).toBe(expected);
  });

  it("gives equal values with and without WebAssembly, inside its memory and outside, for every seed", () => {
    const room = memory.bytesAt(memory.allocate(200_000), 200_000);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 0, max: 40 }),
        fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
        (pattern, times, shift, seed) => {
          const bytes = Uint8Array.from({ length: pattern.length * times }, (_, i) => pattern[i % pattern.length]!);
          const inside = room.subarray(shift, shift + bytes.length);
          inside.set(bytes);
          const expected = sumOf(plain, bytes, seed);
          expect(sumOf(wasm, bytes, seed)).toBe(expected);
          expect(sumOf(wasm, inside, seed)).toBe(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([wasm, plain])("sums pieces of several messages in turn ($description)", (checksums) => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.nat()),
        (messages, turns) => {
          const running = messages.map((pieces) => ({ left: [...pieces], sum: checksums.begin() }));
          for (const turn of turns) {
            const open = running.filter(({ left }) => left.length > 0);
            if (open.length === 0) break;
            const { left, sum } = open[turn % open.length]!;
            sum.add(left.shift()!);
          }
          const sums = running.map(({ sum }) => {
            const bytes = new Uint8Array(CHECKSUM_BYTES);
            sum.end(bytes, 0);
            return hex(bytes);
          });
          expect(sums).toEqual(messages.map((pieces) => sumOf(plain, Uint8Array.from(pieces.flatMap((p) => [...p])))));
        },
      ),
      { numRuns: 200 },
    );
  });
});
