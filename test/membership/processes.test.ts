/** Ranks in processes of their own that are killed, stopped and started, and shrink and admit. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Job, type Report, startJob } from "../faults/job.ts";
import { freePort } from "../helpers/free-port.ts";
import { sharedFilesOf } from "../helpers/shared-files.ts";

const PROGRAM = "../../membership/programs/elastic.mjs";

/** Resolves with what each of these ranks says when it has come to an epoch of so many ranks. */
const reached = (job: Job, ranks: readonly number[], size: number): Promise<Report[]> =>
  Promise.all(ranks.map((rank) => job.reported((r) => r.rank === rank && r.message.size === size)));

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

const seatsOf = (reports: readonly Report[]) => reports.map(({ message }) => message.globalRanks);

/** All that these ranks said was right. */
function expectRight(job: Job): void {
  expect(job.reports.filter(({ message }) => "wrong" in message || message.right === false)).toEqual([]);
}

async function endOf(job: Job, survivors: readonly number[]): Promise<void> {
  for (const rank of survivors) job.ranks[rank]!.send("end");
  const ends = await job.ended;
  for (const rank of survivors) expect(ends[rank]).toEqual({ code: 0, signal: null });
  expectRight(job);
  expect(sharedFilesOf(job.ranks.map(({ pid }) => pid))).toEqual([]);
}

describe.each(["websocket", "shared-file", "hub"])("shrink() over %s", (TRANSPORT) => {
  it("follows the kill of each rank in turn", { timeout: 60_000 }, async () => {
    const delays: number[] = [];
    const victims = TRANSPORT === "hub" ? [1, 2, 3] : [3, 0, 1];
    for (const victim of victims) {
      const job = await startJob(PROGRAM, 4, { TRANSPORT });
      await reached(job, [0, 1, 2, 3], 4);
      const killedAt = Date.now();
      job.ranks[victim]!.kill("SIGKILL");
      const survivors = [0, 1, 2, 3].filter((rank) => rank !== victim);
      const reports = await reached(job, survivors, 3);
      expect(seatsOf(reports)).toEqual(Array(3).fill(survivors));
      for (const { message } of reports) delays.push((message.at as number) - killedAt);
      await endOf(job, survivors);
    }
    console.log(`first right allReduce ${median(delays)} ms after the kill (median), ${delays.at(-1)} ms (worst)`);
    expect(median(delays)).toBeLessThanOrEqual(2_000);
    expect(delays.at(-1)).toBeLessThanOrEqual(5_000);
  });
});
