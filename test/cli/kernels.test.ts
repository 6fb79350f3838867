import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { webccl } from "./command.ts";

describe("webccl bench kernels", () => {
  it("measures the GPU as Node, Deno and Chromium have it, and draws a page", { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "webccl-kernels-"));
    const html = join(folder, "kernels.html");
    const args = [
      "bench",
      "kernels",
      "--device",
      "webgpu",
      "-b",
      "64K",
      "-d",
      "f32",
      "-o",
      "sum",
      "--deno",
      "--browser",
    ];
    const { code, stdout, stderr } = await webccl([...args, "--json", "--html", html], gpuEnvironment());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { devices } = JSON.parse(stdout) as { devices: { device: string; rows: object[]; fold: object }[] };
    expect(devices.map(({ device }) => device.split(":")[0])).toEqual(["node", "deno", "chromium"]);
    const page = await readFile(html, "utf8");
    await rm(folder, { recursive: true });
    for (const { device, rows, fold } of devices) {
      expect(rows).toEqual([
        { dtype: "f32", op: "sum", GBs: expect.any(Number), copyGBs: expect.any(Number), share: expect.any(Number) },
      ]);
      expect(fold).toMatchObject({ bytes: 65_536, fourShare: expect.any(Number) });
      expect(page).toContain(`<h2>${device}</h2>`);
    }
  });

  it("refuses its flags on other benchmarks", async () => {
    const { code, stderr } = await webccl(["bench", "all_reduce", "--deno"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--deno is for bench kernels/);
  });
});
