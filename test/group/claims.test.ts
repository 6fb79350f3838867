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
