import { describe, expect, it } from "vitest";
import { gpuEnvironment } from "../support/gpu.ts";
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
    expect(info.gpus[0]).toMatchObject({ runtime: "node", adapter: expect.stringMatching(/swiftshader/i), fix: null });
    expect(info.gpus[0].features).toContain("timestamp-query");
    expect(info.gpus[0].limits.maxBufferSize).toBeGreaterThan(2 ** 27);
    expect(info.transports).toEqual(["memory", "shared-memory", "shared-file", "websocket", "hub"]);
  });

  it("says what to do where there is no adapter", async () => {
    const { stdout } = await webccl(["info"], { VK_ICD_FILENAMES: "/nonexistent.json" });
    expect(stdout).toMatch(/^gpu node +no adapter: .*VK_ICD_FILENAMES/m);
  });

  it("prints it as text", async () => {
    const { stdout } = await webccl(["info"]);
    expect(stdout).toMatch(new RegExp(`^runtime +node ${process.versions.node}$`, "m"));
  });
});
