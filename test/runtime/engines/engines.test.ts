import { createHash } from "node:crypto";
import { networkInterfaces } from "node:os";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPage } from "../../../src/cli/demo.ts";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { DeviceReport } from "../../conformance/device-suite.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { type PageKind, PageServer } from "../browser/page-server.ts";
import type { Job, Outcome } from "../job.ts";
import { runProcess } from "../processes.ts";
import { ENGINES, type Engine, type EngineName, NO_GPU, type Tab, valueIn } from "./engine.ts";

const TOKEN = "a token of this test";
const WASM = "'wasm-unsafe-eval'";
const ISOLATED: PageKind = { scripts: WASM, isolated: true };
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const NAMES = Object.keys(ENGINES) as EngineName[];

let server: PageServer;
let spawning: PageServer;
let devices: PageServer;
let hub: Awaited<ReturnType<typeof startHub>>;
let groups = 0;

beforeAll(async () => {
  [server, spawning, devices] = await Promise.all([
    PageServer.open(),
    PageServer.open({
      programs: { "entry.js": path("../browser/spawning.ts"), "rank.js": path("../browser/spawned-rank.ts") },
    }),
    PageServer.open({ programs: { "entry.js": path("device-program.ts") } }),
  ]);
  hub = await startHub({ port: 0, token: TOKEN, origins: [server.origin, spawning.origin] });
});

afterAll(async () => {
  for (const one of [server, spawning, devices]) one?.close();
  await hub?.close();
});

const optionsOf = (rank: number, worldSize: number, group: string): Job["options"] => ({
  initMethod: `${hub.url}/${group}`,
  ...{ rank, worldSize, token: TOKEN, timeoutMs: 60_000 },
});

const HOST = { seed: 4, ops: ["sum", "avg", "custom-ordered"], counts: [17, 20_000] } as const;
/** For processes and browsers that share two cores. */
const MIXED = { ...HOST, dtypes: ["u8", "i64", "bf16", "f32"], counts: [17, 5_000] } as const;

/** The reports, all of which found the same. */
function expectSame(reports: readonly CasesReport[]): CasesReport {
  const [first] = reports as [CasesReport];
  for (const report of reports) expect(report).toMatchObject({ wrong: [], digests: first.digests });
  return first;
}

describe.each(NAMES)("ranks in %s", { timeout: 120_000 }, (name) => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await ENGINES[name]();
  });

  afterAll(() => engine?.close());

  const groupName = () => `${name}-${groups++}`;

  /** Opens a tab that is rank 0 of a group, beside a rank in this process. */
  async function besideNode() {
    const group = groupName();
    const task = { name: "allReduce", dtype: "f32", bytes: 4_000, times: 1_000_000 } as const;
    const tab = await engine.open(server.urlOf({ scripts: WASM }, { task, options: optionsOf(0, 2, group) }));
    const here = await initProcessGroup({ ...optionsOf(1, 2, group), backend: "cpu" });
    const data = new Float32Array(1_000);
    await here.barrier();
    await here.allReduce(data);
    /** Goes on with the tab until that fails. */
    const untilFailed = async () => {
      for (;;) {
        await here.barrier();
        await here.allReduce(data);
      }
    };
    return { tab, here, untilFailed };
  }

  it("run every collective on host memory, a page and a worker at a hub", async () => {
    const group = groupName();
    const tabs = await Promise.all(
      [0, 1].map((rank) =>
        engine.open(
          server.urlOf(rank === 0 ? { scripts: WASM } : ISOLATED, {
            task: { name: "conformance", cases: HOST, memory: "host" },
            options: { ...optionsOf(rank, 2, group), backend: "cpu", transport: "hub" },
            inWorker: rank === 1,
          }),
        ),
      ),
    );
    const outcomes = await Promise.all(tabs.map((tab) => valueIn<Outcome & CasesReport>(tab, "globalThis.outcome")));
    for (const tab of tabs) await tab.close();
    const { ran } = expectSame(outcomes);
    console.log(`${engine.version}: ${ran} cases at a hub`);
    expect(ran).toBeGreaterThan(CASE_COLLECTIVES.length * 12);
  });

  it("run every collective over memory that workers share", async () => {
    const tab = await engine.open(spawning.urlOf(ISOLATED));
    await valueIn(tab, "globalThis.spawnRanks && true");
    const spawned = 'spawnRanks(3, "rank.js?scene=cases").then(({ results }) => Promise.all(results))';
    const reports = await tab.evaluate<CasesReport[]>(spawned);
    await tab.close();
    const { ran } = expectSame(reports);
    console.log(`${engine.version}: ${ran} cases over shared memory`);
    expect(ran).toBeGreaterThan(CASE_COLLECTIVES.length * 6);
  });

  if (!NO_GPU.includes(name)) {
    it("run every collective on GPUBuffers", { timeout: 170_000 }, async () => {
      const tab = await engine.open(devices.urlOf({ scripts: WASM }));
      const report = await valueIn<DeviceReport | { error: string }>(tab, "globalThis.outcome", 160_000);
      await tab.close();
      console.log(`${engine.version}: ${JSON.stringify(report)}`);
      expect(report).toMatchObject({ cases: expect.any(Number) });
    });
  }

  it("run every collective over message ports, by which tabs of one browser are linked", async () => {
    const group = groupName();
    const tabs: Tab[] = [];
    for (const rank of [0, 1, 2]) {
      const job: Job = {
        task: { name: "conformance", cases: HOST, memory: "host" },
        options: { ...optionsOf(rank, 3, group), backend: "cpu", ...(rank === 1 && { transport: "message-port" }) },
      };
      tabs.push(await engine.open(server.urlOf({ scripts: WASM }, job)));
    }
    const outcomes = await Promise.all(tabs.map((tab) => valueIn<Outcome & CasesReport>(tab, "globalThis.outcome")));
    for (const tab of tabs) await tab.close();
    outcomes.forEach((outcome, rank) => {
      const links = [0, 1, 2].map((other) => (other === rank ? "self" : "message-port"));
      expect(outcome).toMatchObject({ links });
    });
    console.log(`${engine.version}: ${expectSame(outcomes).ran} cases over message ports`);
  });

  it("are lost to the others as soon as their tab is closed", async () => {
    const { tab, here, untilFailed } = await besideNode();
    const failed = untilFailed();
    await tab.close();
    await expect(failed).rejects.toThrow(/rank 0 was lost/);
    await here.destroy();
  });

  it("run the demo's page", async () => {
    const demo = await openPage({ port: 0 });
    const tabs = [await engine.open(demo.urls[0]!), await engine.open(demo.urls[0]!)];
    const saying = (id: string, text: RegExp) => `${text}.test(document.getElementById("${id}")?.textContent) || null`;
    for (const tab of tabs) await valueIn(tab, saying("status", /2 ranks, ready/));
    await tabs[0]!.evaluate('document.getElementById("run").click()');
    for (const tab of tabs) await valueIn(tab, saying("verdict", /every element right/));
    for (const tab of tabs) await tab.close();
    await demo.close();
  });

  // The last: nothing of the engine is left.
  it("are lost to the others as soon as their browser is killed", async () => {
    const { here, untilFailed } = await besideNode();
    const failed = untilFailed();
    engine.kill();
    await expect(failed).rejects.toThrow(/rank 0 was lost/);
    await here.destroy();
  });
});

describe("a group of Chromium and Firefox, and Node at their hub", () => {
  it("runs every collective over a data channel", { timeout: 120_000 }, async () => {
    const addresses = Object.values(networkInterfaces()).flat();
    if (addresses.every((address) => address?.internal)) {
      throw new Error("browsers open no data channel over loopback: give this machine an address of a network");
    }
    const engines = await Promise.all([ENGINES.chromium(), ENGINES.firefox()]);
    const jobOf = (rank: number): Job => ({
      task: { name: "conformance", cases: HOST, memory: "host" },
      options: { ...optionsOf(rank, 3, "channels"), backend: "cpu", ...(rank < 2 && { transport: "webrtc" }) },
    });
    const inEngine = async (engine: Engine, rank: number) =>
      valueIn<Outcome & CasesReport>(
        await engine.open(server.urlOf({ scripts: WASM }, jobOf(rank))),
        "globalThis.outcome",
      );
    const outcomes = await Promise.all([...engines.map(inEngine), runProcess("node", jobOf(2))]);
    await Promise.all(engines.map((engine) => engine.close()));
    expect(outcomes).toMatchObject([
      { links: ["self", "webrtc", "hub"] },
      { links: ["webrtc", "self", "hub"] },
      { links: ["hub", "hub", "self"] },
    ]);
    const { ran } = expectSame(outcomes as unknown as CasesReport[]);
    console.log(
      `${engines.map(({ version }) => version).join(", ")}, Node: ${ran} cases over a data channel and a hub`,
    );
  });
});

/** The processes of the group of all, behind the browsers. */
const PROCESSES = ["bun", "deno", "node-20", "node-26"] as const;

describe("a group of Chromium, Firefox, WebKit, Bun, Deno, Node 20 and Node 26", () => {
  it("runs every collective, with results that are equal on all", { timeout: 180_000 }, async () => {
    const engines = await Promise.all(NAMES.map((name) => ENGINES[name]()));
    const worldSize = NAMES.length + PROCESSES.length;
    const jobOf = (rank: number): Job => ({
      task: { name: "conformance", cases: MIXED, memory: "host" },
      options: { ...optionsOf(rank, worldSize, "mixed"), backend: "cpu" },
    });
    const inEngine = async (engine: Engine, rank: number) =>
      valueIn<Outcome & CasesReport>(
        await engine.open(server.urlOf({ scripts: WASM }, jobOf(rank))),
        "globalThis.outcome",
        150_000,
      );
    const outcomes = await Promise.all([
      ...engines.map(inEngine),
      ...PROCESSES.map((runtime, i) => runProcess(runtime, jobOf(NAMES.length + i))),
    ]);
    await Promise.all(engines.map((engine) => engine.close()));
    expect(outcomes.map((outcome) => ("error" in outcome ? outcome.error : outcome.runtime))).toEqual([
      ...NAMES.map(() => "browser"),
      ...["bun", "deno", "node", "node"],
    ]);
    const { ran, digests } = expectSame(outcomes as unknown as CasesReport[]);
    const all = createHash("sha256").update(digests.join()).digest("hex");
    console.log(
      `${engines.map(({ version }) => version).join(", ")}, ${PROCESSES.join(", ")}: ${ran} cases, SHA-256 ${all}`,
    );
    expect(ran).toBeGreaterThan(CASE_COLLECTIVES.length * 6);
  });
});
