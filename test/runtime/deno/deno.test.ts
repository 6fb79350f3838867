import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { denoExecutable } from "../../../src/cli/launch/other-runtimes.ts";
import { expectedSums } from "../../helpers/alloc-sums.ts";
import { freePort } from "../../helpers/free-port.ts";
import { runProcess } from "../processes.ts";
import { itRunsEveryCollective, itServesAHub, TOKEN } from "../runtime-cases.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

describe("Deno ranks", () => {
  itRunsEveryCollective([
    ["websocket", "deno", "node", "deno"],
    ["websocket", "node", "deno", "node"],
    ["mapped-memory", "deno", "node", "deno"],
    ["mapped-memory", "node", "deno", "node"],
    ["mapped-memory", "deno", "deno", "deno"],
    ["shared-file", "deno", "node", "deno"],
    ["shared-file", "node", "deno", "node"],
    ["shared-file", "deno", "deno", "deno"],
  ]);

  it("get tensors from alloc() that are summed as their dtype", async () => {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const outcomes = await Promise.all(
      (["deno", "node"] as const).map((runtime, rank) =>
        runProcess(runtime, {
          task: { name: "sum" },
          options: { initMethod, rank, worldSize: 2, token: TOKEN, timeoutMs: 25_000 },
        }),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ sums: expectedSums(2) });
  });
});

describe("createHub() on Deno", () => itServesAHub("deno"));

describe("jsr.json", () => {
  it("names a package that Deno would publish, with no complaint", { timeout: 120_000 }, () => {
    const output = execFileSync(denoExecutable(), ["publish", "--dry-run", "--allow-dirty"], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(output).not.toMatch(/warning|error/i);
  });
});
