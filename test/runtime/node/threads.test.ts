import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { initProcessGroup } from "../../../src/node/index.ts";
import { startThreads } from "../../../src/node/thread-job.ts";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { bundled } from "../../helpers/bundled.ts";
import { freePort } from "../../helpers/free-port.ts";

const SCRIPT = fileURLToPath(new URL("thread.ts", import.meta.url));
let running: Worker[] = [];

afterEach(async () => {
  await Promise.all(running.map((worker) => worker.terminate()));
});

/** Plays a scene of thread.ts with `ranks` threads; what each posted, and undefined for one that ended without. */
async function play<T>(scene: string, ranks: number): Promise<(T | undefined)[]> {
  const place = { WORLD_SIZE: `${ranks}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${await freePort()}` };
  const environment = { ...process.env, ...place };
  running = startThreads({
    ranks,
    script: await bundled(SCRIPT),
    args: [scene],
    tsx: null,
    environment,
    piped: false,
  });
  return Promise.all(
    running.map(
      (worker) =>
        new Promise<T | undefined>((resolve, reject) => {
          let posted: T | undefined;
          worker.on("message", (message: T) => {
            posted = message;
          });
          worker.on("error", reject);
          worker.on("exit", () => resolve(posted));
        }),
    ),
  );
}

describe("ProcessGroup over threads", () => {
  for (const size of [2, 3, availableParallelism() + 3]) {
    it(`runs every collective with ${size} threads`, { timeout: 60_000 }, async () => {
      for (const scene of size === 3 ? ["cases", "operations", "persistent"] : ["cases"]) {
        const reports = await play<CasesReport>(scene, size);
        for (const report of reports) {
          expect(report?.wrong).toEqual([]);
          expect(report?.digests).toEqual(reports[0]?.digests);
        }
        expect(reports[0]?.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 2);
      }
    });
  }

  it("reduces tensors in shared memory where they are, whatever their size", { timeout: 60_000 }, async () => {
    const reports = await play<{ wrong: string[]; links: string[] }>("allocated", 3);
    expect(reports.map((report) => report?.wrong)).toEqual([[], [], []]);
    expect(reports[0]?.links).toEqual(["self", "shared-memory", "shared-memory"]);
  });

  it.each([2, 4])("reduces lists that are given again as they are, with %i threads", async (ranks) => {
    const reports = await play<{ wrong: string[] }>("lists", ranks);
    expect(reports.map((report) => report?.wrong)).toEqual(Array.from({ length: ranks }, () => []));
  });

  it.each([2, 4])("keeps %i ranks in step that come in any order, soon or late", async (ranks) => {
    const reports = await play<{ wrong: number }>("pauses", ranks);
    expect(reports).toEqual(Array.from({ length: ranks }, () => ({ wrong: 0 })));
  });

  it("rejects calls that differ with one error on all ranks, before anything is written, and goes on", async () => {
    type Told = { errors: { name: string; message: string; tensors: string }[]; untouched: boolean; after: number };
    const reports = await play<Told>("mismatch", 3);
    for (const report of reports) {
      expect(report).toEqual(reports[0]);
      expect(report!.errors.map(({ name }) => name)).toEqual(["MismatchError", "MismatchError", "MismatchError"]);
      expect(report!.errors.map(({ tensors }) => tensors)).toEqual(["untouched", "untouched", "untouched"]);
      expect(report!.errors[0]!.message).toMatch(
        /collective differs: rank 0 called allReduce.*rank 1 called broadcast/,
      );
      expect(report!.errors[1]!.message).toMatch(/count differs/);
      expect(report!.untouched).toBe(true);
      expect(report!.after).toBe(3);
    }
  });

  it("stays in step through 400 drawn calls that differ, whenever each rank hears of it", async () => {
    for (const size of [2, 3, 4]) {
      for (const report of await play<{ wrong: string[] }>("mismatches", size)) expect(report!.wrong).toEqual([]);
    }
  });

  it("names a thread that ended, within two seconds", async () => {
    const [first, second, third] = await play<{ name: string; message: string; waitedMs: number }>("lost", 3);
    expect(third).toBeUndefined();
    for (const report of [first, second]) {
      expect(report!.name).toBe("PeerLostError");
      expect(report!.message).toMatch(/rank 2 was lost/);
      expect(report!.waitedMs).toBeLessThan(2_000);
    }
  });

  it("makes groups of some of the ranks, again and again", async () => {
    const reports = await play<{ wrong: string[] }>("groups", 4);
    expect(reports.map((report) => report?.wrong)).toEqual([[], [], [], []]);
  });

  it("keeps groups of one name apart", async () => {
    const reports = await play<{ wrong: string[] }>("namesakes", 4);
    expect(reports.map((report) => report?.wrong)).toEqual([[], [], [], []]);
  });

  it("ends when its only thread does", async () => {
    const reports = await play<{ wrong: string[] }>("groups", 1);
    expect(reports.map((report) => report?.wrong)).toEqual([[]]);
  });
});

describe("initProcessGroup()", () => {
  it("says what transport shared-memory needs", async () => {
    const options = { initMethod: "tcp://127.0.0.1:1", rank: 0, worldSize: 1, transport: "shared-memory" } as const;
    await expect(initProcessGroup(options)).rejects.toThrow(/webccl run --threads/);
  });
});
