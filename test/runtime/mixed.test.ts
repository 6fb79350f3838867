import { describe, expect, it } from "vitest";
import { CASE_COLLECTIVES } from "../../src/testing/index.ts";
import type { CasesReport } from "../conformance/run-cases.ts";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { countingProxy } from "../hub/counting-proxy.ts";
import { pagesAndHub } from "./browser/pages-and-hub.ts";
import type { Job, Task } from "./job.ts";
import { runProcess } from "./processes.ts";

const MIB = 2 ** 20;
const TOKEN = "a token of this test";

describe("a group of two pages, one Node and one Deno process", () => {
  const place = pagesAndHub(TOKEN);

  /** The pages are ranks 0 and 2, so that neighbours are of different runtimes. */
  async function runMixed(groupName: string, task: Task, urls = [place.hub.url, place.hub.url], backend?: "webgpu") {
    const job = (rank: number): Job => ({
      task,
      options: {
        initMethod: `${(rank % 2 === 0 && urls[rank / 2]) || place.hub.url}/${groupName}`,
        ...{ rank, worldSize: 4, token: TOKEN, timeoutMs: 60_000 },
        ...(backend && { backend }),
      },
    });
    const policy = { scripts: "'wasm-unsafe-eval'" };
    return Promise.all([
      place.pages.run(job(0), policy),
      runProcess("node", job(1), gpuEnvironment()),
      place.pages.run({ ...job(2), inWorker: true }, { ...policy, isolated: true }),
      runProcess("deno", job(3)),
    ]);
  }

  const HOST = { seed: 4, ops: ["sum", "avg", "custom-ordered"], counts: [17, 20_000] } as const;
  // The kernels of three different drivers, of which two flush subnormals. A dtype of each kind of kernel: the device suites have all.
  const GPU_DTYPES = ["u8", "i16", "u64", "f8e4m3", "bf16", "f32"] as const;
  const GPU = { ...HOST, dtypes: GPU_DTYPES, counts: [17, 5_000], inputs: "normal" } as const;

  it.each([
    ["host arrays", { name: "conformance", cases: HOST, memory: "host" }],
    ["GPUBuffers", { name: "conformance", cases: GPU, memory: "gpu" }],
  ] as const)(
    "runs every collective on %s, with results that are equal on all",
    { timeout: 180_000 },
    async (_, task) => {
      const onGpu = task.memory === "gpu";
      const outcomes = await runMixed(`conformance-${task.memory}`, task, undefined, onGpu ? "webgpu" : undefined);
      expect(outcomes.map((outcome) => ("error" in outcome ? outcome.error : outcome.runtime))).toEqual([
        "browser",
        "node",
        "browser",
        "deno",
      ]);
      const first = outcomes[0] as unknown as CasesReport;
      for (const outcome of outcomes) expect(outcome).toMatchObject({ wrong: [], digests: first.digests });
      const gpus = outcomes.map((outcome) => ("error" in outcome ? null : outcome.gpu));
      if (onGpu) expect(gpus).not.toContain(null);
      console.log(`mixed group on ${task.memory} memory: ${first.ran} cases; ${onGpu ? gpus.join("; ") : ""}`);
      expect(first.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 12);
    },
  );

  it("costs a page S × 1.01 + 64 KiB each way at most, while the others have direct links", async () => {
    const bytes = 8 * MIB;
    const proxies = await Promise.all([countingProxy(place.hub), countingProxy(place.hub)]);
    const task = { name: "allReduce", dtype: "f32", bytes, times: 1 } as const;
    const outcomes = await runMixed(
      "bytes",
      task,
      proxies.map(({ url }) => url),
    );
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ digest: (outcomes[0] as { digest?: string }).digest });
    console.log(`8 MiB of a page: ${proxies.map(({ up, down }) => `${up} up, ${down} down`).join("; ")}`);
    for (const { up, down } of proxies) {
      expect(Math.max(up, down)).toBeLessThanOrEqual(bytes * 1.01 + 65_536);
      expect(Math.min(up, down)).toBeGreaterThan(bytes);
    }
  });
});
