import { describe, expect, it } from "vitest";
import type { Transfer } from "../../src/algorithm/context.ts";
import { readbackCost, typicalCost } from "../../src/cli/bench/readback.ts";

const send = (start: number, end: number): Transfer => ({ step: "send", slot: 0, start, end });

describe("readbackCost()", () => {
  it("counts what is waited for while nothing is sent, without the kernels, on whatever clock they are", () => {
    // The device's clock is 1,000 ms ahead: what begins with its submit and ends with its readback leaves no other offset.
    const readbacks = [
      { start: 10, end: 20, passes: [{ submitted: 9, start: 1009, end: 1013 }] },
      { start: 12, end: 30, passes: [{ submitted: 9, start: 1014, end: 1016 }] },
      { start: 28, end: 40, passes: [{ submitted: 27, start: 1035, end: 1040 }] },
    ];
    const transfers: Transfer[] = [send(20, 25), send(32, 33), { step: "read", slot: 0, start: 0, end: 100 }];
    // Waited for from 10 to 40, without 20–25 and 32–33; kernels were at work in 10–13, 14–16 and 35–40.
    expect(readbackCost(readbacks, transfers)).toEqual({
      mapAsyncCalls: 3,
      mapWaitUs: 24_000,
      exposedReadbackUs: 14_000,
    });
  });

  it("says nothing of what it cannot know", () => {
    const told = { start: 0, end: 4, passes: [{ submitted: 0, start: 0, end: 4 }] };
    const cost = readbackCost([told, { start: 2, end: 6, passes: null }], []);
    expect(cost).toEqual({ mapAsyncCalls: 2, mapWaitUs: 6000, exposedReadbackUs: null });
  });

  it("is nothing where nothing is read back", () => {
    expect(readbackCost([], [send(0, 1)])).toEqual({ mapAsyncCalls: 0, mapWaitUs: 0, exposedReadbackUs: 0 });
  });
});

describe("typicalCost()", () => {
  const cost = (exposedReadbackUs: number | null) => ({ mapAsyncCalls: 2, mapWaitUs: 9, exposedReadbackUs });

  it("is the median of what each run cost the slowest rank", () => {
    const perRank = [
      [cost(1), cost(5), cost(3)],
      [cost(2), cost(4), cost(9)],
    ];
    expect(typicalCost(perRank)).toEqual(cost(5));
  });

  it("is null where one rank's device does not tell", () => {
    expect(typicalCost([[cost(1)], [cost(null)]])).toEqual(cost(null));
  });
});
