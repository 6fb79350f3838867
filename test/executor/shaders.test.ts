import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { buildShaders } from "../../scripts/build-shaders.ts";

describe("shaders.generated.ts", () => {
  it("is what shaders/ holds", async () => {
    const committed = await readFile(
      new URL("../../src/executor/webgpu/kernels/shaders.generated.ts", import.meta.url),
      "utf8",
    );
    expect(committed === (await buildShaders()), "run `npx tsx scripts/build-shaders.ts`").toBe(true);
  });
});
