import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { bundled } from "../../helpers/bundled.ts";
import { freePort } from "../../helpers/free-port.ts";
import { gpuEnvironment } from "../../helpers/gpu.ts";

const SCRIPT = fileURLToPath(new URL("rank.ts", import.meta.url));
const running = new Set<ReturnType<typeof spawn>>();

afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
});

/** One rank; resolves with what it printed once it has ended by itself. */
async function runRank(
  rank: number,
  size: number,
  port: number,
  transport: string,
  backend: string,
): Promise<CasesReport & { pid: number }> {
  const place = { RANK: `${rank}`, WORLD_SIZE: `${size}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${port}` };
  const env = { ...process.env, ...(backend === "webgpu" ? gpuEnvironment() : {}), ...place };
  const child = spawn(process.execPath, [await bundled(SCRIPT), transport, backend], { env });
  running.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      running.delete(child);
      if (code === 0) resolve(JSON.parse(stdout.trim().split("\n").at(-1) as string));
      else reject(new Error(`rank ${rank} of ${size} ended with ${code ?? signal}: ${stderr}${stdout}`));
    });
  });
}

describe("ProcessGroup over real processes", () => {
  const kinds = [
    ["mapped-memory", 2, "cpu"],
    ["mapped-memory", 4, "cpu"],
    ["shared-file", 2, "cpu"],
    ["shared-file", 4, "cpu"],
    ["websocket", 2, "cpu"],
    ["websocket", 4, "cpu"],
    ["hub", 2, "cpu"],
    ["hub", 4, "cpu"],
    ["mapped-memory", 2, "webgpu"],
    ["shared-file", 2, "webgpu"],
    ["websocket", 2, "webgpu"],
  ] as const;
  it.each(kinds)(
    "runs every collective over %s with %i processes on %s, which then end",
    {
      timeout: 60_000,
    },
    async (transport, size, backend) => {
      const port = await freePort();
      const ranks = Array.from({ length: size }, (_, rank) => rank);
      const reports = await Promise.all(ranks.map((rank) => runRank(rank, size, port, transport, backend)));
      expect(new Set(reports.map(({ pid }) => pid)).size).toBe(size);
      for (const { wrong, digests, ran } of reports) {
        expect(wrong).toEqual([]);
        expect(digests).toEqual(reports[0]?.digests);
        expect(ran).toBe(reports[0]?.ran);
      }
      expect(reports[0]?.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 2);
    },
  );
});
