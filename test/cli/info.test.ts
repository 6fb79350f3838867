import { describe, expect, it } from "vitest";
import { GPU_PROBE, type GpuAdapter } from "../../src/cli/info/gpu-probe.ts";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { webccl } from "./command.ts";

describe("webccl info", () => {
  it("prints what is here as JSON", async () => {
    const { code, stdout, stderr } = await webccl(["info", "--json"], gpuEnvironment());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const info = JSON.parse(stdout);
    const keys = [
      "webccl",
      "runtime",
      "system",
      "cpu",
      "gpus",
      "nccl",
      "ffi",
      "transports",
      "typeScript",
      "hostId",
      "missing",
    ];
    expect(Object.keys(info)).toEqual(keys);
    expect(info).toMatchObject({
      runtime: `node ${process.versions.node}`,
      cpu: { description: "wasm-simd" },
      missing: [],
    });
    expect(info.gpus.map(({ runtime }: { runtime: string }) => runtime)).toEqual(["node", "deno", "chromium"]);
    for (const gpu of info.gpus) {
      expect(gpu).toMatchObject({ adapter: expect.stringMatching(/swiftshader/i), fix: null });
      expect(gpu.features).toContain("timestamp-query");
      expect(gpu.limits.maxBufferSize).toBeGreaterThan(2 ** 27);
    }
    expect(info.transports).toEqual(["memory", "shared-memory", "mapped-memory", "shared-file", "websocket", "hub"]);
  });

  it("says what to do where there is no adapter", async () => {
    const { stdout } = await webccl(["info"], { VK_ICD_FILENAMES: "/nonexistent.json" });
    expect(stdout.replace(/\s+/g, " ")).toMatch(/GPU in node adapter none: [^:]*VK_ICD_FILENAMES/);
  });

  it("asks each adapter once, whichever way it is found", async () => {
    const asked: unknown[] = [];
    const adapter = (description: string) => ({ info: { description }, features: new Set(["b", "a"]), limits: {} });
    const [one, other] = [adapter("one"), adapter("other")];
    const gpu = {
      requestAdapter: async (how: unknown) => {
        asked.push(how);
        return [one, other, one][asked.length - 1];
      },
    };
    const probe = new Function(`return ${GPU_PROBE}`)() as (gpu: unknown) => Promise<GpuAdapter[]>;
    expect((await probe(gpu)).map(({ adapter, features }) => [adapter, features])).toEqual([
      ["one", ["a", "b"]],
      ["other", ["a", "b"]],
    ]);
    expect(asked).toHaveLength(3);
    expect(await probe(undefined)).toEqual([]);
  });

  it("prints it as text, within 80 columns, features by their use", async () => {
    const { stdout } = await webccl(["info"], gpuEnvironment());
    expect(stdout).toMatch(new RegExp(`^  runtime +node ${process.versions.node}$`, "m"));
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(stdout).toMatch(/^GPU in node\n {2}adapter /m);
    expect(stdout).toMatch(/^ {2}timing +timestamp-query$/m);
  });

  it("refuses a browser that is not there, and names those that are", async () => {
    const { code, stderr } = await webccl(["info", "--browsers", "netscape"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--browsers netscape: there is none here; there are .*link/);
  });
});
