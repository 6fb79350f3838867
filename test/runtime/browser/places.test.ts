/** Where in a browser a rank lives: in a shared worker, in a service worker never; and how little an idle one takes. */
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { allocSums, expectedSums } from "../../helpers/alloc-sums.ts";
import { PageServer } from "./page-server.ts";

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
const WASM = { scripts: "'wasm-unsafe-eval'" };
const MOST_IDLE_BYTES = 64 * 2 ** 20;
const NOWHERE =
  "UnsupportedError: a service worker or an extension's background page cannot be a rank: use a page or a worker";

describe("a rank in Chromium", { timeout: 90_000 }, () => {
  let browser: Browser;
  let places: PageServer;
  let hub: Awaited<ReturnType<typeof startHub>>;

  beforeAll(async () => {
    [places, browser] = await Promise.all([
      PageServer.open({
        programs: {
          "entry.js": program("places"),
          "service-worker.js": program("service-worker"),
          "shared-worker.js": program("shared-worker"),
        },
      }),
      // Memory is measured at once, and not after the next garbage collection.
      launchChromium(["--enable-blink-features=ForceEagerMeasureMemory"]),
    ]);
    hub = await startHub({ port: 0, origins: [places.origin] });
  });

  afterAll(async () => {
    await browser?.close();
    await hub?.close();
    places?.close();
  });

  const openPlaces = async (isolated = false): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(places.urlOf({ ...WASM, isolated }));
    await page.waitForFunction(() => "inServiceWorker" in globalThis);
    return page;
  };

  it("cannot live in a service worker, which is said at once", async () => {
    const page = await openPlaces();
    expect(await page.evaluate("inServiceWorker()")).toBe(NOWHERE);
    await page.close();
  });

  it("may live in a shared worker", async () => {
    const page = await openPlaces();
    const options = { initMethod: `${hub.url}/shared`, worldSize: 2, timeoutMs: 30_000, backend: "cpu" } as const;
    const job = { task: { name: "sum" }, options: { ...options, rank: 1 } };
    const outcome = page.evaluate(`inSharedWorker(${JSON.stringify(job)})`);
    const group = await initProcessGroup({ ...options, rank: 0 });
    const tensor = new Float32Array(100_000).fill(1);
    await group.allReduce(tensor);
    expect(tensor[0]).toBe(3);
    await allocSums(group, 33);
    await group.destroy();
    expect(await outcome).toMatchObject({ runtime: "browser", first: 3, sums: expectedSums(2) });
    await page.close();
  });

  it("takes less than 64 MiB while it is idle", async () => {
    const page = await openPlaces(true);
    const options = { initMethod: `${hub.url}/idle`, worldSize: 2, timeoutMs: 60_000, backend: "cpu" } as const;
    const measured = page.evaluate<{ before: number; after: number; memory: string }>(
      `idle(${JSON.stringify({ ...options, rank: 1 })})`,
    );
    const group = await initProcessGroup({ ...options, rank: 0 });
    for (let call = 0; call < 3; call++) await group.allReduce(new Float32Array(100_000).fill(1));
    await group.barrier();
    await group.destroy();
    const { before, after, memory } = await measured;
    const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    console.log(
      `an idle rank (${memory}): ${mib(after - before)} MiB more than the page before it joined, ${mib(after)} in all`,
    );
    expect(after).toBeLessThanOrEqual(MOST_IDLE_BYTES);
    await page.close();
  });
});
