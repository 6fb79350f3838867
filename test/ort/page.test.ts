import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../src/node/hub.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { runRowParallel } from "../../src/ort/index.ts";
import { Pages } from "../runtime/browser/pages.ts";
import { distanceOf, floatsOf, MLP_DIMS, mlpFeeds, wholeNumbersOf } from "./mlp.ts";
import { MLP } from "./models.ts";
import type { CHECKS, PageJob } from "./page-checks.ts";
import { createSession, ort } from "./session.ts";

const PROGRAM = fileURLToPath(new URL("programs/page-rank.ts", import.meta.url));
const ORT = dirname(fileURLToPath(import.meta.resolve("onnxruntime-web")));
const FILES = ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];

type Checks = typeof CHECKS;
type Outcome<C extends keyof Checks> = Awaited<ReturnType<Checks[C]>>;

describe("ranks in tabs, with ONNX Runtime's WebGPU execution provider", { timeout: 120_000 }, () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;

  beforeAll(async () => {
    const files = Object.fromEntries(FILES.map((name) => [name, join(ORT, name)]));
    pages = await Pages.open({ programs: { "entry.js": PROGRAM }, files });
    hub = await startHub({ port: 0, origins: [pages.origin] });
  });

  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  /** What each of two tabs says of a check. */
  async function inTabs<C extends keyof Checks>(check: C): Promise<Outcome<C>[]> {
    const outcomes = await Promise.all(
      [0, 1].map(async (rank) => {
        const options = {
          initMethod: `${hub.url}/${check}`,
          rank,
          worldSize: 2,
          backend: "webgpu",
          timeoutMs: 60_000,
        } as const;
        const job: PageJob = { check, options };
        return pages.outcome<Outcome<C> | { error: string }>(await pages.show({ scripts: "'wasm-unsafe-eval'" }, job));
      }),
    );
    return outcomes.map((outcome) => {
      if (typeof outcome === "object" && "error" in outcome) throw new Error(JSON.stringify(outcome));
      return outcome as Outcome<C>;
    });
  }

  it("sum a perceptron's outputs in ONNX Runtime's own buffers", async () => {
    const outcomes = await inTabs("perceptron");
    for (const { early, results, size, maxStorageBuffersPerShaderStage } of outcomes) {
      expect(early).toMatch(/^TypeError: ort.env.webgpu.device is not there: first create a session/);
      const { floats, wholeNumbers } = results;
      expect(floats?.sum).toEqual(outcomes[0]?.results.floats?.sum);
      expect(distanceOf(floats?.sum, floats?.whole ?? [])).toBeLessThan(1e-5);
      expect(new Set(wholeNumbers?.sum).size).toBeGreaterThan(5);
      expect(wholeNumbers?.sum).toEqual(wholeNumbers?.whole);
      // 15 floats, 60 bytes.
      expect(size).toBe(64);
      expect(maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(10);
    }
  });

  it("run 250 times on each other's sums, exactly, and no GPUBuffer is left over", async () => {
    const first = wholeNumbersOf(21, "x");
    const turned = Array.from(first, (_, i) => first[i - (i % 7) + (((i % 7) + 7 - (250 % 7)) % 7)]);
    expect(new Set(turned.slice(0, 7)).size).toBeGreaterThan(3);
    for (const { last, buffers } of await inTabs("manyRuns")) {
      expect(last).toEqual(turned);
      expect(buffers).toHaveLength(5);
      expect(new Set(buffers.slice(1)).size, `live buffers: ${buffers}`).toBe(1);
    }
  });

  it("join columns on the GPU, of one row and of more", async () => {
    for (const joined of await inTabs("columns")) {
      expect(Object.keys(joined)).toEqual(["1", "5"]);
      for (const [rows, { dims, location, data, whole }] of Object.entries(joined)) {
        expect(dims).toEqual([Number(rows), 7]);
        expect(location).toBe("gpu-buffer");
        expect(data).toEqual(whole);
      }
    }
  });

  it("pass activations on from GPU to GPU, on a device that sessions were given", async () => {
    const outcomes = await inTabs("pipeline");
    expect(outcomes.map(({ location }) => location)).toEqual(["cpu", "gpu-buffer"]);
    expect(outcomes[1]?.output).toEqual(outcomes[1]?.whole);
    for (const { notOrts, maxStorageBuffersPerShaderStage } of outcomes) {
      expect(notOrts).toMatch(/Sessions that were given a device run on that one/);
      expect(maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(10);
    }
  });

  it("sum float16 of an odd count", async () => {
    const [, received] = await inTabs("halves");
    expect(received).toEqual([0x4000, 0x4400, 0x4600, 0x4800, 0x4900]);
  });

  it("lose their group with ONNX Runtime's device, which goes with its last session", async () => {
    for (const error of await inTabs("released")) expect(error).toMatch(/^DeviceLostError: .*rank 0/);
  });

  it("compute together with a rank in Node that has no GPU", async () => {
    const options = { initMethod: `${hub.url}/mixed`, worldSize: 2, timeoutMs: 60_000 };
    const job: PageJob = { check: "perceptron", options: { ...options, rank: 0, backend: "webgpu" } };
    const page = await pages.show({ scripts: "'wasm-unsafe-eval'" }, job);
    const group = await initProcessGroup({ ...options, rank: 1, backend: "cpu" });
    const session = await createSession(MLP);
    const sums: number[][] = [];
    for (const numbers of [floatsOf, wholeNumbersOf]) {
      const { y } = await runRowParallel(group, session, mlpFeeds(ort, numbers, MLP_DIMS, group));
      sums.push(Array.from((y?.data ?? []) as Float32Array));
    }
    const { results } = await pages.outcome<Outcome<"perceptron">>(page);
    await group.destroy();
    const { floats, wholeNumbers } = results;
    expect([floats?.sum, wholeNumbers?.sum]).toEqual(sums);
    expect(wholeNumbers?.sum).toEqual(wholeNumbers?.whole);
    expect(distanceOf(floats?.sum, floats?.whole ?? [])).toBeLessThan(1e-5);
  });
});
