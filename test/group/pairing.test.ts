/**
 * No call has the value of another one, over any medium, whatever the ranks' timing and whoever awaits what: it has its own, or rejects.
 * Only behind a refusal of which the rank was told may calls be one off (docs/errors.md): nobody knows what the program made instead.
 * `npm run nightly -- pairing` has more seeds.
 */
import { describe, expect, it } from "vitest";
import { TEST_TRANSPORTS } from "../conformance/harness.ts";
import { faultsOf, HINDRANCES } from "./drawn-programs.ts";

// 107 and 109 had wrong values on every run before calls told their numbers.
const SEEDS = [0, 1, 2, 3, 107, 109];

describe.each(TEST_TRANSPORTS)("a program of calls, over %s", (transport) => {
  describe.each(Object.entries(HINDRANCES))("with %s", (_, hindrances) => {
    it.each(SEEDS)("never has the value of another call, unwarned (seed %i)", async (seed) => {
      expect((await faultsOf(transport, seed, hindrances)).wrong).toEqual([]);
    });
  });
});
