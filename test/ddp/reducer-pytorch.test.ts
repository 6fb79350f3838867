import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compareScenario, type RecordedReducer } from "../oracles/ddp-reducer.ts";

const recording: RecordedReducer = JSON.parse(
  readFileSync(new URL("./vectors/ddp-reducer.json", import.meta.url), "utf8"),
);

/** How many gradients each scenario compares: ranks with inputs × steps × 6 parameters. */
const COMPARED = { plain: 480, unused: 480, noSync: 144, joinInitial: 246, joinActive: 246 };

describe("Reducer beside PyTorch's DistributedDataParallel", () => {
  it.each(Object.entries(COMPARED))(
    "%s: the recorded gradients give its averages within N ulp",
    async (name, count) => {
      expect(await compareScenario(recording, name)).toBe(count);
    },
  );

  it("would tell a wrong average", async () => {
    const wrong = structuredClone(recording) as {
      scenarios: Record<string, { averaged: number[][] }[]>;
    } & RecordedReducer;
    const gradient = wrong.scenarios.plain![19]!.averaged[5]!;
    gradient[0] = gradient[0]! * (1 + 2 ** -18);
    await expect(compareScenario(wrong, "plain")).rejects.toThrow(/plain, step 19, rank \d, third.bias\[0\]/);
  });
});
