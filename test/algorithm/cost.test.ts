import { describe, expect, it } from "vitest";
import type { AlgorithmFamily } from "../../src/algorithm/rows.ts";
import { FAMILIES, rowsOf, runCase } from "./cases.ts";
import { COSTS, STEPS } from "./cost.ts";

const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 31, 33, 64];
/** Blocks of 64 bytes per rank's chunk: with segments of 64, 100 and 192 bytes, one to six messages. */
const BLOCKS_PER_CHUNK = [1, 3, 6];
const SEGMENT_BYTES = [64, 100, 192, 1000, 4096];
/** More than this among all ranks takes long and shows nothing new. */
const MOST_MESSAGES = 30_000;

for (const collective of [...FAMILIES, "barrier"] as const) describeFamily(collective);

function describeFamily<C extends AlgorithmFamily>(collective: C): void {
  describe.each(rowsOf(collective))(`${collective} $algorithm`, (row) => {
    it.each(SIZES)("sends the messages and bytes of its header, on %i ranks", async (size) => {
      const formula = COSTS[collective]![row.algorithm]!;
      const blocks = BLOCKS_PER_CHUNK[size % 3]!;
      // Where ranks have blocks of their own, one of them; else a tensor that divides evenly into its chunks.
      const ownBlocks = ["reduceScatter", "allGather", "gather", "scatter", "allToAll"].includes(collective);
      const chunks = row.algorithm === "halving" ? 2 ** Math.floor(Math.log2(size)) : size;
      const bytes = 64 * blocks * (ownBlocks ? 1 : chunks);
      let runs = 0;
      for (const segmentBytes of SEGMENT_BYTES) {
        const root = size - 1 - (segmentBytes % size);
        const costs = Array.from({ length: size }, (_, rank) => formula({ rank, size, bytes, segmentBytes, root }));
        if (costs.reduce((total, { messagesSent }) => total + messagesSent, 0) > MOST_MESSAGES) continue;
        const { traffic, steps } = await runCase(collective, row, {
          size,
          count: bytes / 4,
          segmentBytes,
          dtype: "i32",
          root,
          // What a hub does is simulated.
          delivery: row.needs === undefined ? "memory" : "rendezvous",
        });
        expect(traffic).toEqual(costs);
        const stepsOf = STEPS[collective]?.[row.algorithm];
        expect(steps).toBe(stepsOf ? stepsOf({ rank: 0, size, bytes, segmentBytes, root }) : 0);
        runs++;
      }
      expect(runs).toBeGreaterThan(0);
    });
  });
}

describe.each(["allReduce", "reduceScatter", "reduce", "scan"] as const)("%s", (collective) => {
  it.each(rowsOf(collective))("takes the scratch that its row says, by $algorithm", async (row) => {
    const segmentBytes = 64;
    for (const size of [2, 3, 5, 8]) {
      // Long enough for every segment in flight, of which there are two.
      const ownBlocks = collective === "reduceScatter";
      const count = (segmentBytes / 4) * 3 * (ownBlocks ? 1 : size);
      const { mostScratchBytes } = await runCase(collective, row, { size, count, segmentBytes, dtype: "i32" });
      const most = Math.max(...mostScratchBytes) / segmentBytes / 2;
      const said = row.scratch?.(size) ?? 0;
      expect(most, `${size} ranks`).toBeLessThanOrEqual(said);
      // In a cluster it is one for each of its other ranks; a tree has inner ranks only from some size on.
      if (size >= 5 && row.needs !== "hub and clusters") expect(most, `${size} ranks`).toBe(said);
    }
  });
});

describe.each(FAMILIES)("%s of nothing", (collective) => {
  const lengthsMayDisagree = ["gather", "scatter", "allToAll"].includes(collective);

  it.each(rowsOf(collective))(
    lengthsMayDisagree ? "sends one empty message per piece, by $algorithm" : "sends nothing, by $algorithm",
    async (row) => {
      const { traffic } = await runCase(collective, row, { size: 5, count: 0, segmentBytes: 64, dtype: "i32" });
      const messages = traffic.reduce((total, { messagesSent }) => total + messagesSent, 0);
      expect(messages).toBe(!lengthsMayDisagree ? 0 : collective === "allToAll" ? 20 : 4);
    },
  );
});

describe("formulas", () => {
  it("cover every algorithm, and no others", () => {
    for (const collective of [...FAMILIES, "barrier"] as const) {
      expect(Object.keys(COSTS[collective]!).sort()).toEqual(
        rowsOf(collective)
          .map((row) => row.algorithm)
          .sort(),
      );
    }
  });
});
