import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import type { Job } from "../job.ts";
import { bundle, sizesOf } from "./bundle.ts";
import { type PageKind, Pages } from "./pages.ts";

const ENTRY = fileURLToPath(new URL("../../../src/browser/index.ts", import.meta.url));
const TOKEN = "a token of this test";
const MOST_GZIPPED_BYTES = 45 * 1024;

describe("the browser entry", () => {
  it("is at most 45 KB gzipped before a GPU is opened, and holds no eval", async () => {
    const { entry, later } = await sizesOf(ENTRY);
    console.log(`browser entry: ${entry} bytes gzipped, and ${later} more when a GPU is opened`);
    expect(entry).toBeLessThanOrEqual(MOST_GZIPPED_BYTES);
    const { code } = await bundle(ENTRY);
    expect(code).not.toMatch(/new Function\b|\bFunction\(|\beval\(/);
    expect(code).not.toMatch(/\brequire\(|node:/);
  });
});

describe("a page", () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;
  let groups = 0;

  beforeAll(async () => {
    pages = await Pages.open();
    hub = await startHub({ port: 0, token: TOKEN, origins: [pages.origin] });
  });

  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  /** A page and a Node rank add up what they have. */
  async function sumWith(kind: PageKind, inWorker: boolean) {
    const initMethod = `${hub.url}/sum-${groups++}`;
    const options = { initMethod, worldSize: 2, token: TOKEN, timeoutMs: 20_000 };
    const job: Job = { task: { name: "sum" }, inWorker, options: { ...options, rank: 0 } };
    const [outcome, tensor] = await Promise.all([
      pages.run(job, kind),
      initProcessGroup({ ...options, rank: 1 }).then(async (group) => {
        const mine = new Float32Array(100_000).fill(2);
        await group.allReduce(mine);
        await group.destroy();
        return mine;
      }),
    ]);
    expect(tensor[0]).toBe(3);
    return outcome;
  }

  const WASM = "'wasm-unsafe-eval'";
  for (const inWorker of [false, true]) {
    const where = inWorker ? "a module worker" : "a page";
    it(`runs in ${where} under a strict policy, without shared memory`, async () => {
      expect(await sumWith({ scripts: WASM }, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: false, isolated: false, shares: false },
        executor: "wasm-simd, memory not shared",
      });
    });

    it(`runs in ${where} that shares memory, which never reaches a WebSocket uncopied`, async () => {
      expect(await sumWith({ scripts: WASM, isolated: true }, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: true, isolated: true, shares: true },
        executor: "wasm-simd",
      });
    });

    it(`runs in ${where} whose policy blocks WebAssembly too`, async () => {
      expect(await sumWith({}, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: false },
        executor: expect.stringMatching(/^plain loops: WebAssembly is blocked/),
      });
    });
  }
});
