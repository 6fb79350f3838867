import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../../src/executor/cpu/cpu-executor.ts";
import { SEED } from "../../executor/random.ts";

/** The deno command of the npm package. */
const deno = join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "bin.cjs");

describe("createWebgpuExecutor() in Deno", () => {
  it("gives the cpu's bits with f16 native and packed", async () => {
    const program = fileURLToPath(new URL("webgpu.ts", import.meta.url));
    const child = spawn(process.execPath, [deno, "run", "-A", "--quiet", program, String(SEED)], {
      env: { ...process.env, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await once(child, "close");
    const result = JSON.parse(output) as {
      executors: { f16: string; arithmeticId: string }[];
      compared: number;
      differences: string[];
    };
    expect(result.differences, `seed ${SEED}`).toEqual([]);
    expect(result.compared).toBeGreaterThan(2 * 25 * 65_536);
    expect(result.executors.map(({ f16 }) => f16)).toEqual(["native", "packed"]);
    // llvmpipe keeps subnormals, so it has the cpu's arithmetic to the last bit.
    const cpu = await createCpuExecutor();
    await cpu.loadRareLoops();
    expect(result.executors.map(({ arithmeticId }) => arithmeticId)).toEqual([cpu.arithmeticId, cpu.arithmeticId]);
  }, 120_000);
});
