import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { createHub } from "../../../src/node/hub.ts";
import { digest } from "../../../src/testing/index.ts";
import { denoCommand } from "../../helpers/deno.ts";
import { gpuEnvironment } from "../../helpers/gpu.ts";
import { COUNT, type MixedReport, scores } from "./custom-ops.ts";

const hub = await createHub({ port: 0 });
afterAll(() => hub.close());

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The ranks, in order: a runtime and a backend. */
const RANKS = [
  ["node", "cpu"],
  ["deno", "webgpu"],
  ["node", "webgpu"],
] as const;

async function runRank(rank: number): Promise<MixedReport> {
  const [runtime, backend] = RANKS[rank]!;
  const args = [`${hub.url}/custom-ops`, `${rank}`, `${RANKS.length}`, backend];
  const start =
    runtime === "deno"
      ? denoCommand(path("deno-rank.ts"), args)
      : {
          command: process.execPath,
          args: ["--import", "tsx", path("node-rank.ts"), ...args],
          env: { ...process.env, ...gpuEnvironment() },
        };
  const child = spawn(start.command, start.args, { env: start.env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  expect(code, `rank ${rank}`).toBe(0);
  return JSON.parse(output);
}

describe("custom operations in a group of Node on the cpu, Deno on a GPU and Node on a GPU", () => {
  it("give the same bits on all, and reject with a MismatchError on all where one rank's differs", async () => {
    const reports = await Promise.all(RANKS.map((_, rank) => runRank(rank)));
    expect(reports.map(({ executor }) => executor)).toEqual(RANKS.map(([, backend]) => backend));
    const first = reports[0]!;
    for (const report of reports) {
      const { rank, executor, ...found } = report;
      const { rank: _, executor: __, ...expected } = first;
      expect(found, `rank ${rank}`).toEqual(expected);
    }
    expect(first.largestError).toBeLessThan(1e-5);
    expect(first.mismatches).toHaveLength(2);
    for (const message of first.mismatches) expect(message).toMatch(/custom.* differs: rank \d.*rank 2/);
    const inputs = RANKS.map((_, rank) => scores(rank));
    const best = BigUint64Array.from({ length: COUNT }, (_, i) => {
      const winner = inputs.reduce((won, one) => (one[i]! >> 32n > won[i]! >> 32n ? one : won));
      return winner[i]!;
    });
    expect(first.argMax).toBe(await digest([best]));
  }, 60_000);
});
