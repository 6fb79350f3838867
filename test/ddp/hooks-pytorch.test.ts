import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { differencesOf, type RecordedHooks } from "../oracles/ddp-hooks.ts";
import { ranksOf } from "./ranks.ts";

describe("hooks on the gradients of 20 steps of PyTorch's DDP on gloo", () => {
  it.each([2, 3])("give PyTorch's results on %i ranks", async (size) => {
    const file = new URL(`vectors/hooks-${size}-ranks.json`, import.meta.url);
    const recorded = JSON.parse(readFileSync(file, "utf8")) as RecordedHooks;
    expect(recorded.steps).toHaveLength(20);
    const groups = await ranksOf(size, { deterministic: true });
    const { allReduce, fp16CompressBits, fp16CompressInRankOrder } = await differencesOf(groups, recorded);
    console.log(
      `${size} ranks: ALLREDUCE differs by ${allReduce} ulp of f32, FP16_COMPRESS in rank order by ${fp16CompressInRankOrder} of f16`,
    );
    // Their 1/N is a division, ours a product; with a power of two both are exact.
    expect(allReduce).toBeLessThanOrEqual(size === 3 ? size : 0);
    expect(fp16CompressBits).toBe(0);
    expect(fp16CompressInRankOrder).toBeLessThanOrEqual(size);
  });
});
