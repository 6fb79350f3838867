import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { differences, type Vectors } from "../oracles/nn-vectors.ts";

describe("webccl/nn", () => {
  it("gives what torch.distributed.nn.functional gave on gloo (npx tsx test/oracles/programs/nn.ts --record)", async () => {
    const vectors = JSON.parse(readFileSync(new URL("../oracles/nn.json", import.meta.url), "utf8")) as Vectors;
    expect(vectors.torch).toMatch(/^2\.15\./);
    const { wrong, compared } = await differences(vectors);
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(vectors.cases.length * 2);
  });
});
