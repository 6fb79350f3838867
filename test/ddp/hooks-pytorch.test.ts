import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { differencesOf, type RecordedHooks } from "../oracles/ddp-hooks.ts";
import { ranksOf } from "./ranks.ts";

describe("hooks on the gradients of 20 steps of PyTorch's DDP on gloo", () => {
  it.each([2, 3])("give PyTorch's results on %i ranks", async (size) => {
    const file = new URL(`vectors/hooks-${size}-ranks.json`, import.meta.url);
    const recorded = JSON.parse(readFileSync(file, "utf8")) as RecordedHooks;
    expect(recorded.steps).toHaveLength(20);
    const { allReduce, fp16Compress } = await differencesOf(await ranksOf(size), recorded);
    console.log(`${size} ranks: ALLREDUCE differs by ${allReduce} ulp of f32, FP16_COMPRESS by ${fp16Compress} of f16`);
    expect(allReduce).toBeLessThanOrEqual(size);
    expect(fp16Compress).toBeLessThanOrEqual(1);
  });
});
