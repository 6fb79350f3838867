import { describe, expect, it } from "vitest";
import { CASE_COLLECTIVES, type CaseFilter } from "../../src/testing/index.ts";
import { pagesAndHub } from "../runtime/browser/pages-and-hub.ts";
import type { Job } from "../runtime/job.ts";
import { HALF_ON_NCCL, runRanks } from "./stand-in.ts";

/** The addon and the stand-ins may have to be built first. */
const TIMEOUT_MS = 180_000;

const CASES: CaseFilter = {
  dtypes: ["f32", "i32", "f16", "i16"],
  ops: ["sum", "premul-sum", "custom"],
  counts: [0, 17],
  seed: 31,
};

describe("a group of which ranks 0 and 1 are on NCCL, and 2 and 3 behind the hub", { timeout: TIMEOUT_MS }, () => {
  it.each(["host", "device"])("runs the conformance suite, tensors of ranks 0 and 1 on the %s", async (task) => {
    const env = { BACKEND: "auto", CASES: JSON.stringify(CASES) };
    const reports = await runRanks(task, 4, { sanitize: true, env, envOf: HALF_ON_NCCL });
    for (const [rank, report] of reports.entries()) {
      const { digests } = reports[0]!;
      expect(report).toMatchObject({ wrong: [], digests, backendName: "direct", cudaDevices: [0, 1, null, null] });
      if (rank < 2) expect(report?.lanes).toBeGreaterThan(0);
      if (rank < 2) expect(report?.notes).toContainEqual(expect.stringMatching(/^allReduce .* runs on NCCL among/));
    }
    expect(reports[0]?.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 4);
  });

  it("reduces tensors of many segments", async () => {
    const filter: CaseFilter = {
      collectives: ["allReduce"],
      dtypes: ["f32"],
      ops: ["sum", "avg"],
      counts: [1_200_001],
    };
    const env = { BACKEND: "auto", CASES: JSON.stringify(filter) };
    for (const report of await runRanks("host", 4, { env, envOf: HALF_ON_NCCL })) {
      expect(report).toMatchObject({ wrong: [], ran: 2 });
    }
  });
});

describe("a group of two Node ranks on NCCL and two pages", { timeout: TIMEOUT_MS }, () => {
  const place = pagesAndHub("a token of this test");

  it("runs the conformance suite, with results that are equal on all", async () => {
    const env = {
      ...{ BACKEND: "auto", CASES: JSON.stringify(CASES) },
      ...{ WEBCCL_INIT_METHOD: `${place.hub.url}/servers-and-tabs`, WEBCCL_TOKEN: "a token of this test" },
    };
    const page = (rank: number) => {
      const options = {
        initMethod: env.WEBCCL_INIT_METHOD,
        rank,
        worldSize: 4,
        token: env.WEBCCL_TOKEN,
        timeoutMs: 60_000,
      };
      const job: Job = { task: { name: "conformance", cases: CASES, memory: "host" }, options, inWorker: rank === 3 };
      return place.pages.run(job, { scripts: "'wasm-unsafe-eval'" });
    };
    const wholeGroup = { WORLD_SIZE: "4" };
    const [servers, ...tabs] = await Promise.all([
      runRanks("host", 2, { sanitize: true, env, envOf: { 0: wholeGroup, 1: wholeGroup } }),
      page(2),
      page(3),
    ]);
    const first = servers[0]!;
    for (const report of servers) {
      expect(report).toMatchObject({ wrong: [], digests: first.digests, cudaDevices: [0, 1, null, null] });
      expect(report?.lanes).toBeGreaterThan(0);
      expect(report?.notes).toContainEqual(expect.stringMatching(/^allReduce .* runs on NCCL among/));
    }
    for (const tab of tabs) expect(tab).toMatchObject({ runtime: "browser", wrong: [], digests: first.digests });
    expect(first.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 4);
    console.log(`two servers on NCCL and two pages: ${first.ran} cases`);
  });
});
