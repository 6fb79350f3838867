import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../src/node/hub.ts";
import { CASE_COLLECTIVES } from "../../src/testing/index.ts";
import type { CasesReport } from "../conformance/run-cases.ts";
import { Pages } from "./browser/pages.ts";
import type { Job, Task } from "./job.ts";
import { runProcess } from "./processes.ts";

const TOKEN = "a token of this test";

describe("a group of two pages, one Node and one Deno process", () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;

  beforeAll(async () => {
    pages = await Pages.open();
    hub = await startHub({ port: 0, token: TOKEN, origins: [pages.origin] });
  });

  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  /** The pages are ranks 0 and 2, so that neighbours are of different runtimes. */
  async function runMixed(groupName: string, task: Task, options: Job["options"] = {}) {
    const job = (rank: number): Job => ({
      task,
      options: {
        initMethod: `${hub.url}/${groupName}`,
        rank,
        worldSize: 4,
        token: TOKEN,
        timeoutMs: 60_000,
        ...options,
      },
    });
    const policy = { scripts: "'wasm-unsafe-eval'" };
    return Promise.all([
      pages.run(job(0), policy),
      runProcess("node", job(1)),
      pages.run({ ...job(2), inWorker: true }, { ...policy, isolated: true }),
      runProcess("deno", job(3)),
    ]);
  }

  it("runs every collective, with results that are equal on all", { timeout: 180_000 }, async () => {
    const cases = { seed: 4, ops: ["sum", "avg", "custom-ordered"], counts: [0, 17, 20_000] } as const;
    const outcomes = await runMixed("conformance", { name: "conformance", cases });
    expect(outcomes.map((outcome) => ("error" in outcome ? outcome.error : outcome.runtime))).toEqual([
      "browser",
      "node",
      "browser",
      "deno",
    ]);
    const first = outcomes[0] as unknown as CasesReport;
    for (const outcome of outcomes) expect(outcome).toMatchObject({ wrong: [], digests: first.digests });
    console.log(`mixed group: ${first.ran} cases`);
    expect(first.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 12);
  });
});
