import { afterEach, describe, expect, it, vi } from "vitest";
import { AddressableGate } from "../../src/region/addressable/gate.ts";
import { flagOf, gateBytes } from "../../src/region/addressable/gate-words.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Rank 0 of two on a clock of its own, which each look at it moves on by 10 µs; the test says when rank 1 comes. */
function rankZero() {
  const words = new Int32Array(gateBytes(2) / Int32Array.BYTES_PER_ELEMENT);
  let [time, peerComesAt, step, sleeps] = [0, 0, 0, 0];
  const letPeerCome = () => {
    if (time >= peerComesAt) Atomics.store(words, flagOf(1), step);
  };
  vi.spyOn(performance, "now").mockImplementation(() => {
    time += 0.01;
    letPeerCome();
    return time;
  });
  const sleep = {
    canBlock: true,
    block: () => {
      sleeps++;
      time = Math.max(time, peerComesAt);
      letPeerCome();
    },
    wait: async () => {},
    wake: () => {},
  };
  const gate = new AddressableGate(words, { rank: 0, size: 2, cores: 2, sleep });
  /** Rank 1 comes `lateMs` after rank 0: how often does rank 0 sleep at this step? */
  const stepWith = (lateMs: number): number => {
    step++;
    peerComesAt = time + lateMs;
    const before = sleeps;
    expect(gate.arrive()).toBe(true);
    return sleeps - before;
  };
  return { stepWith };
}

/** What a sleeping rank needs to be woken, in milliseconds: longer than a short loop, shorter than a long one. */
const WAKE_UP_MS = 0.06;

describe("AddressableGate", () => {
  it("finds soon after a busy time that the others come while it reads their flags", () => {
    const random = new SeededRandom(7, "gate");
    for (let round = 0; round < 40; round++) {
      const { stepWith } = rankZero();
      // The others have no core, for as many steps as may be: from here on every loop is in vain.
      for (let left = 4 + (random.u32() % 500); left > 0; left--) stepWith(0.9);
      // They have one again, but this rank finds them asleep whenever it did not wait for them.
      let slept = 0;
      for (let i = 0; i < 40; i++) slept += stepWith(WAKE_UP_MS);
      expect(slept).toBeLessThanOrEqual(32);
      for (let i = 0; i < 200; i++) expect(stepWith(WAKE_UP_MS)).toBe(0);
    }
  });
});
