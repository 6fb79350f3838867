import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { webccl } from "../cli/command.ts";

const example = fileURLToPath(new URL("../../examples/data-parallel.ts", import.meta.url));

/** What each rank printed behind its rank, in the order of the ranks. */
async function results(ranks: number): Promise<string[]> {
  const { code, stdout, stderr } = await webccl(["run", "-n", String(ranks), example]);
  expect(code, stderr).toBe(0);
  const found = [...stdout.matchAll(/rank (\d) of \d: (.*)/g)].sort((a, b) => Number(a[1]) - Number(b[1]));
  return found.map(([, , text = ""]) => text);
}

it("examples/data-parallel.ts finds the weights of one process with two ranks", { timeout: 60_000 }, async () => {
  const [alone, ...others] = await results(1);
  expect(others).toEqual([]);
  expect(alone).toMatch(/^9\d\.\d % right, weights/);
  expect(await results(2)).toEqual([alone, alone]);
});
