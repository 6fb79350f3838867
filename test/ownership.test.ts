import { describe, expect, it } from "vitest";
import { Ownership } from "../src/ownership.ts";

describe("Ownership", () => {
  it("refuses to write what a pending Work reads or writes", () => {
    const ownership = new Ownership();
    const array = new Float32Array(8);
    const claim = ownership.claim("allReduce 1", [], [array.subarray(0, 4)]);
    expect(() => ownership.claim("allReduce 2", [], [array.subarray(3, 6)])).toThrow(
      /allReduce 2.*bytes 12 to 16.*allReduce 1/,
    );
    expect(() => ownership.claim("broadcast 2", [array], [])).toThrow(TypeError);
    ownership.release(claim);
    ownership.claim("allReduce 3", [], [array]);
  });

  it("lets two Works read the same memory", () => {
    const ownership = new Ownership();
    const array = new Int32Array(4);
    ownership.claim("send 1", [array], []);
    ownership.claim("send 2", [array], []);
    expect(() => ownership.claim("recv 3", [], [{ data: array, dtype: "i32" }])).toThrow(/send 1/);
  });

  it("takes disjoint parts of one buffer, and empty tensors", () => {
    const ownership = new Ownership();
    const array = new Uint8Array(10);
    ownership.claim("a", [], [array.subarray(0, 5)]);
    ownership.claim("b", [], [array.subarray(5)]);
    ownership.claim("c", [], [array.subarray(3, 3)]);
  });
});
