/** A short run of the fuzzer; `npm run fuzz` makes long ones. */
import { describe, expect, it } from "vitest";
import { fuzz } from "./fuzz.ts";

/** Sessions that found something once: seed, target, session. */
const REGRESSIONS: readonly (readonly [number, string, number])[] = [];

describe("whatever strangers, members, hubs and clients send", () => {
  it("ends nothing but their own connections, and changes no value of others", { timeout: 120_000 }, async () => {
    const { findings, frames } = await fuzz({ seed: 1, seconds: 5, frames: 2_000 });
    expect(findings).toEqual([]);
    expect(frames).toBeGreaterThan(100);
  });

  it.runIf(REGRESSIONS.length > 0).each(REGRESSIONS)("seed %d, %s, session %d", async (seed, target, first) => {
    const { findings } = await fuzz({ seed, seconds: 60, frames: 1, first, targets: [target] });
    expect(findings).toEqual([]);
  });
});
