import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { spawnRanks as Spawn, SpawnOptions } from "../../../src/browser/index.ts";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import type { PageKind } from "./page-server.ts";
import { Pages } from "./pages.ts";

declare const spawnRanks: typeof Spawn;

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const TOKEN = "a token of this test";
const WASM = "'wasm-unsafe-eval'";
const ISOLATED: PageKind = { scripts: WASM, isolated: true };

/** What one rank came to. */
type Settled = { value: unknown } | { error: string; afterMs: number };

describe("spawnRanks()", { timeout: 60_000 }, () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;
  let groups = 0;

  beforeAll(async () => {
    const programs = { "entry.js": path("spawning.ts"), "rank.js": path("spawned-rank.ts") };
    pages = await Pages.open({ programs });
    hub = await startHub({ port: 0, token: TOKEN, origins: [pages.origin] });
  });

  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  /** Lets a page start ranks that play `scene`; what became of each. No worker is left then. */
  async function play(
    kind: PageKind,
    ranks: number,
    scene: string,
    { options = {}, terminateAfterMs }: { options?: SpawnOptions; terminateAfterMs?: number } = {},
  ): Promise<Settled[]> {
    const page = await pages.show(kind);
    await page.waitForFunction(() => "spawnRanks" in globalThis);
    const settled = await page.evaluate(
      async ({ ranks, scene, options, terminateAfterMs }) => {
        const start = performance.now();
        const { results, terminate } = await spawnRanks(ranks, `rank.js?scene=${scene}`, options);
        if (terminateAfterMs !== undefined) {
          await new Promise((resolve) => setTimeout(resolve, terminateAfterMs));
          await terminate();
        }
        return Promise.all(
          results.map((result) =>
            result.then(
              (value): Settled => ({ value }),
              (error): Settled => ({ error: `${error.name}: ${error.message}`, afterMs: performance.now() - start }),
            ),
          ),
        );
      },
      { ranks, scene, options, terminateAfterMs },
    );
    await vi.waitFor(() => expect(page.workers()).toEqual([]), { timeout: 5_000 });
    await page.close();
    return settled;
  }

  const resultOf = <T>(one: Settled | undefined): T => {
    if (!one || !("value" in one)) throw new Error(JSON.stringify(one));
    return one.value as T;
  };
  const errors = (settled: readonly Settled[]) => settled.map((one) => ("error" in one ? one.error : "no error"));
  const atHub = () => ({ initMethod: `${hub.url}/spawned-${groups++}`, token: TOKEN });

  it("runs every collective over the memory that workers of an isolated page share", async () => {
    const settled = await play(ISOLATED, 3, "cases");
    const reports = settled.map((one) => resultOf<CasesReport>(one));
    for (const report of reports) expect(report).toMatchObject({ wrong: [], digests: reports[0]!.digests });
    expect(reports[0]!.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 6);
  });

  it("joins the ranks by shared memory without a hub, and gives what their modules post", async () => {
    const settled = await play(ISOLATED, 2, "sum");
    expect(settled.map((one) => resultOf(one))).toEqual([
      { last: 3, names: ["rank 0", "rank 1"], links: ["self", "shared-memory"], isShared: true },
      { last: 3, names: ["rank 0", "rank 1"], links: ["shared-memory", "self"], isShared: true },
    ]);
  });

  it("goes through a hub where the page is not isolated", async () => {
    const settled = await play({ scripts: WASM }, 2, "sum", { options: atHub() });
    expect(settled.map((one) => resultOf(one))).toEqual([
      { last: 3, names: ["rank 0", "rank 1"], links: ["self", "hub"], isShared: false },
      { last: 3, names: ["rank 0", "rank 1"], links: ["hub", "self"], isShared: false },
    ]);
  });

  it.each([
    [
      "SharedArrayBuffer",
      "delete globalThis.SharedArrayBuffer",
      /UnsupportedError: this browser has no SharedArrayBuffer/,
    ],
    ["Atomics.waitAsync", "delete Atomics.waitAsync", /UnsupportedError: this browser has no Atomics\.waitAsync/],
  ])("says that a browser has no %s", async (_, without, said) => {
    const page = await pages.show(ISOLATED);
    await page.waitForFunction(() => "spawnRanks" in globalThis);
    await page.evaluate(without);
    const told = await page.evaluate(() => spawnRanks(2, "rank.js?scene=sum").then(String, String));
    expect(told).toMatch(said);
    await page.close();
  });

  it("says what a page that is not isolated can do", async () => {
    await expect(play({ scripts: WASM }, 2, "sum")).rejects.toThrow(
      /UnsupportedError: .*Cross-Origin-Opener-Policy.*or pass initMethod, a hub's/,
    );
    await expect(play({ isolated: true }, 2, "sum")).rejects.toThrow(
      /UnsupportedError: WebAssembly is blocked here.*allow 'wasm-unsafe-eval'.*or pass initMethod, a hub's/,
    );
    await expect(play(ISOLATED, 0, "sum")).rejects.toThrow(/RangeError: spawnRanks: 0 ranks/);
    await expect(play(ISOLATED, 1, "sum", { options: { init_method: "" } as SpawnOptions })).rejects.toThrow(
      /TypeError: spawnRanks: unknown option init_method; did you mean initMethod\?/,
    );
  });

  it("lets the ranks of a page share memory in a group with others at a hub", async () => {
    const options = { ...atHub(), worldSize: 3 };
    const meet = async () => {
      const group = await initProcessGroup({ ...options, timeoutMs: 20_000 });
      const tensor = new Float32Array(50_000).fill(group.rank + 1);
      await group.barrier();
      return { group, tensor };
    };
    const [settled, links] = await Promise.all([
      play(ISOLATED, 2, "sum", { options }),
      (async () => {
        const { group: before } = await meet();
        await before.destroy();
        const group = await initProcessGroup({ ...options, timeoutMs: 20_000 });
        const tensor = new Float32Array(50_000).fill(group.rank + 1);
        await group.allReduce(tensor);
        expect(tensor.at(-1)).toBe(6);
        await group.allGatherObject("node");
        await group.destroy();
        return group.info().ranks.map(({ link }) => link);
      })(),
    ]);
    for (const one of settled) {
      const { last, links: own } = resultOf<{ last: number; links: string[] }>(one);
      expect(last).toBe(6);
      expect([...own].sort()).toEqual(["hub", "self", "shared-memory"]);
    }
    expect([...links].sort()).toEqual(["hub", "hub", "self"]);
  });

  for (const [where, kind, options] of [
    ["over shared memory", ISOLATED, () => ({})],
    ["through a hub", { scripts: WASM }, atHub],
  ] as const) {
    it(`ends the group ${where} with what a rank threw, and a PeerLostError at the others`, async () => {
      const settled = await play(kind, 3, "throws", { options: options() });
      const [first, second, third] = errors(settled);
      expect(second).toBe("RangeError: this rank has had enough");
      for (const other of [first, third]) expect(other).toMatch(/^PeerLostError: .*rank 1 was lost/);
    });

    it(`ends every rank ${where} by terminate(), and leaves nothing`, async () => {
      const settled = await play(kind, 2, "forever", { options: options(), terminateAfterMs: 500 });
      expect(errors(settled)).toEqual(["AbortedError: rank 0 was terminated", "AbortedError: rank 1 was terminated"]);
      if (kind !== ISOLATED) await vi.waitFor(() => expect(hub.stats.members).toBe(0), { timeout: 5_000 });
    });

    it(`notices a rank ${where} that throws in a timer, or closes its own worker`, async () => {
      const [later, closes] = await Promise.all([
        play(kind, 2, "throwsLater", { options: options() }),
        play(kind, 2, "closes", { options: options() }),
      ]);
      expect(errors(later)[1]).toMatch(/thrown in a timer/);
      expect(errors(closes)[1]).toBe("AbortedError: rank 1: its worker ended before its module did");
      for (const settled of [later, closes]) {
        expect(errors(settled)[0]).toMatch(/^PeerLostError: .*rank 1 was lost/);
      }
    });
  }

  it("lets no rank wait for one that threw before it had joined", async () => {
    const [first, second] = errors(await play(ISOLATED, 2, "throwsFirst"));
    expect(first).toMatch(/^PeerLostError: rank 1 was lost while the ranks met: .*this rank never came/);
    expect(second).toBe("Error: this rank never came");
  });

  it("tells of a module that is not there", async () => {
    const page = await pages.show(ISOLATED);
    await page.waitForFunction(() => "spawnRanks" in globalThis);
    const told = await page.evaluate(async () => {
      const { results } = await spawnRanks(1, "nowhere.js");
      return results[0]!.catch((error: Error) => error.message);
    });
    expect(told).toMatch(/nowhere\.js/);
    await page.close();
  });
});
