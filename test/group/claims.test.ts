import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Claims } from "../../src/group/claims.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { Tensor } from "../../src/types.ts";

/** A call that runs: its memory is checked, then claimed. */
function newClaims() {
  const claims = new Claims();
  const claim = (collective: string, sequence: number, read: readonly Tensor[], written: readonly Tensor[]) => {
    const [from, into] = [read.map(viewOf), written.map(viewOf)];
    claims.check({ collective, sequence }, from, into);
    return claims.claim({ collective, sequence }, from, into);
  };
  return { claims, claim };
}

describe("Claims", () => {
  it("refuses to write what a pending Work reads or writes", () => {
    const { claims, claim } = newClaims();
    const array = new Float32Array(8);
    const first = claim("allReduce", 1, [], [array.subarray(0, 4)]);
    expect(() => claim("allReduce", 2, [], [array.subarray(3, 6)])).toThrow(/allReduce 2.*bytes 12 to 16.*allReduce 1/);
    expect(() => claim("broadcast", 2, [array], [])).toThrow(TypeError);
    claims.release(first);
    claim("allReduce", 3, [], [array]);
  });

  it("lets two Works read the same memory", () => {
    const { claim } = newClaims();
    const array = new Int32Array(4);
    claim("send", 1, [array], []);
    claim("send", 2, [array], []);
    expect(() => claim("recv", 3, [], [{ data: array, dtype: "i32" }])).toThrow(/send 1/);
  });

  it("takes disjoint parts of one buffer, and empty tensors", () => {
    const { claim } = newClaims();
    const array = new Uint8Array(10);
    claim("a", 1, [], [array.subarray(0, 5)]);
    claim("b", 1, [], [array.subarray(5)]);
    claim("c", 1, [], [array.subarray(3, 3)]);
  });
});

/** One step of a rank: a call that begins with these tensors, each a range of a buffer, or the end of a pending one. */
const range = fc.record({ buffer: fc.nat(1), start: fc.nat(12), count: fc.nat(6), written: fc.boolean() });
const steps = fc.array(fc.oneof({ weight: 2, arbitrary: fc.array(range, { maxLength: 4 }) }, fc.nat(9)), {
  maxLength: 30,
});

describe("Claims, whenever calls begin and end", () => {
  it("refuse exactly the calls of which a tensor shares memory with a pending one's that either writes", () => {
    const buffers = [new Uint8Array(20), new Uint8Array(20)];
    fc.assert(
      fc.property(steps, (drawn) => {
        const { claims, claim } = newClaims();
        const pending: { ranges: Range[]; held: ReturnType<typeof claim> }[] = [];
        const conflict = (a: Range, b: Range) =>
          a.buffer === b.buffer &&
          (a.written || b.written) &&
          Math.max(a.start, b.start) < Math.min(a.start + a.count, b.start + b.count);
        for (const [index, step] of drawn.entries()) {
          if (typeof step === "number") {
            const [ended] = pending.splice(step % Math.max(1, pending.length), 1);
            if (ended) claims.release(ended.held);
            continue;
          }
          const tensors = (written: boolean) =>
            step
              .filter((one) => one.written === written)
              .map(({ buffer, start, count }) => buffers[buffer]!.subarray(start, start + count));
          const isRefused = pending.some(({ ranges }) => ranges.some((a) => step.some((b) => conflict(a, b))));
          const begin = () => claim("call", index + 1, tensors(false), tensors(true));
          if (isRefused) expect(begin).toThrow(/shares bytes/);
          else pending.push({ ranges: step, held: begin() });
        }
      }),
    );
  });
});

type Range = { buffer: number; start: number; count: number; written: boolean };
