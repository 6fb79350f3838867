/** Tabs of Chromium, each on a host of its own (a network namespace), which data channels link; their hub is on one more host. */
import { afterEach, describe, expect, it } from "vitest";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { valueIn } from "../engines/engine.ts";
import type { Job, Outcome } from "../job.ts";
import { type Distance, openTabsOnHosts, type TabsOnHosts } from "./tabs-on-hosts.ts";

const WASM = { scripts: "'wasm-unsafe-eval'" };
const CASES = { seed: 4, ops: ["sum", "avg", "custom-ordered"], counts: [17, 5_000] } as const;

let place: TabsOnHosts | null = null;
afterEach(async () => {
  await place?.close();
  place = null;
});

type Tabs = readonly (Partial<Job["options"]> & { host: number })[];

/** Opens a tab for each rank, which does `task`. */
async function open(task: Job["task"], ranks: Tabs, distance?: Distance) {
  place = await openTabsOnHosts(Math.max(...ranks.map(({ host }) => host)) + 1, distance);
  const { url, open: openTab } = place;
  return Promise.all(
    ranks.map(({ host, ...own }, rank) => {
      const options = { initMethod: `${url}/far`, rank, worldSize: ranks.length, timeoutMs: 90_000, ...own };
      return openTab(host, WASM, { task, options: { backend: "cpu", ...options } } satisfies Job);
    }),
  );
}

const outcomeIn = (tab: Parameters<typeof valueIn>[0]) => valueIn<Outcome & CasesReport>(tab, "globalThis.outcome");

describe("tabs on different machines", () => {
  it("run every collective over data channels; a tab that wants none stays at the hub", {
    timeout: 170_000,
  }, async () => {
    const transport = "webrtc";
    const tabs = await open({ name: "conformance", cases: CASES, memory: "host" }, [
      { host: 0, transport },
      { host: 1, transport },
      { host: 1, transport: "hub" },
    ]);
    const outcomes = await Promise.all(tabs.map(outcomeIn));
    expect(outcomes).toMatchObject([
      { links: ["self", "webrtc", "hub"], wrong: [] },
      { links: ["webrtc", "self", "hub"], wrong: [] },
      { links: ["hub", "hub", "self"], wrong: [] },
    ]);
    const { ran, digests } = outcomes[0] as CasesReport;
    for (const outcome of outcomes) expect(outcome.digests).toEqual(digests);
    console.log(`${place!.engines[0]!.version}: ${ran} cases over data channels and a hub`);
    expect(ran).toBeGreaterThan(CASE_COLLECTIVES.length * 6);
  });

  it("choose data channels by themselves where the hub is far away and narrow", { timeout: 120_000 }, async () => {
    const distance = { delayMs: 40, mbitPerSecond: 10 };
    const tabs = await open({ name: "sum" }, [{ host: 0 }, { host: 1 }], distance);
    expect(await Promise.all(tabs.map(outcomeIn))).toMatchObject([
      { first: 3, last: 3, links: ["self", "webrtc"] },
      { first: 3, last: 3, links: ["webrtc", "self"] },
    ]);
  });

  it.each(["closed", "killed"] as const)("lose a tab that is %s within seconds", { timeout: 120_000 }, async (how) => {
    const task = { name: "allReduce", dtype: "f32", bytes: 4_000, times: 1_000_000 } as const;
    const tabs = await open(task, [
      { host: 0, transport: "webrtc" },
      { host: 1, transport: "webrtc" },
    ]);
    await valueIn(tabs[0]!, "globalThis.calls > 10 || null");
    const start = performance.now();
    if (how === "closed") await tabs[1]!.close();
    else place!.engines[1]!.kill();
    expect(await outcomeIn(tabs[0]!)).toMatchObject({
      error: expect.stringMatching(/^PeerLostError: .*rank 1 was lost/),
    });
    console.log(`a tab that was ${how} is lost after ${(performance.now() - start).toFixed(0)} ms`);
  });
});
