import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { start } from "../cli/command.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/tfjs-training.ts", import.meta.url));

beforeAll(async () => {
  if (!isBuilt()) await build();
}, 120_000);

it("examples/tfjs-training.ts finds the same right weights on both ranks, and docs/tfjs.md shows its loop", async () => {
  const { code, stdout } = await start(["run", "-n", "2", PROGRAM]).ended;
  expect(code).toBe(0);
  const weights = Array.from(stdout.matchAll(/has the weights (\S+) and (\S+)/g), ([, a, b]) => [Number(a), Number(b)]);
  expect(weights).toHaveLength(2);
  expect(weights[1]).toEqual(weights[0]);
  expect(weights[0]![0]).toBeCloseTo(3, 1);
  expect(weights[0]![1]).toBeCloseTo(-2, 1);
  const loop = /const optimizer = distributed[\s\S]*?\n}\n/.exec(readFileSync(PROGRAM, "utf8"))?.[0];
  expect(readFileSync(new URL("../../docs/tfjs.md", import.meta.url), "utf8")).toContain(loop);
});
