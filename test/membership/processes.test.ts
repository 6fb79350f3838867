/** Ranks in processes of their own that are killed, stopped and started, and shrink and admit. */
import { describe, expect, it } from "vitest";
import { mintTicket } from "../../src/node/hub.ts";
import { type Job, type Report, startJob } from "../faults/job.ts";
import { sharedFilesOf } from "../helpers/shared-files.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

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
  for (const rank of survivors) if (job.ranks[rank]!.connected) job.ranks[rank]!.send("end");
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

describe("shrink()", () => {
  it.each([
    ["two ranks die at once", [1, 2], 0],
    ["the leader dies in the middle of the agreement", [3, 0], 55],
    ["the next leader dies, too", [0, 1], 80],
  ])("agrees when %s", { timeout: 60_000 }, async (_, victims, apartMs) => {
    const job = await startJob(PROGRAM, 5, { TRANSPORT: "websocket" });
    await reached(job, [0, 1, 2, 3, 4], 5);
    job.ranks[victims[0]!]!.kill("SIGKILL");
    // The agreement begins 50 ms after a loss, and takes a few.
    if (apartMs > 0) await new Promise((resolve) => setTimeout(resolve, apartMs));
    job.ranks[victims[1]!]!.kill("SIGKILL");
    const survivors = [0, 1, 2, 3, 4].filter((rank) => !victims.includes(rank));
    expect(seatsOf(await reached(job, survivors, 3))).toEqual(Array(3).fill(survivors));
    await endOf(job, survivors);
  });

  it("takes those along that came by tickets, while a rank before them holds the token", {
    timeout: 60_000,
  }, async () => {
    const token = "a token of this test";
    const mint = () => mintTicket(token, { group: "default", expiresAt: Date.now() + 60_000 });
    const TICKETS = ["", "", "", mint(), mint()].join(",");
    const job = await startJob(PROGRAM, 5, { TRANSPORT: "websocket", TICKETS, WEBCCL_TOKEN: token });
    await reached(job, [0, 1, 2, 3, 4], 5);
    job.ranks[0]!.kill("SIGKILL");
    expect(seatsOf(await reached(job, [1, 2, 3, 4], 4))).toEqual(Array(4).fill([1, 2, 3, 4]));
    // Once more, by the tickets that the hub of rank 1 gave.
    job.ranks[1]!.kill("SIGKILL");
    expect(seatsOf(await reached(job, [2, 3, 4], 3))).toEqual(Array(3).fill([2, 3, 4]));
    // Those that are left hold no token, and so can host no hub.
    job.ranks[2]!.kill("SIGKILL");
    for (const rank of [3, 4]) {
      const { message } = await job.reported((report) => report.rank === rank && "refused" in report.message);
      expect(message.text).toMatch(/came by a ticket, and cannot host a hub/);
    }
    await job.ended;
    expectRight(job);
  });

  it("goes down to one rank, loss by loss", { timeout: 60_000 }, async () => {
    const job = await startJob(PROGRAM, 4);
    let living = [0, 1, 2, 3];
    for (const victim of [0, 1, 3]) {
      await reached(job, living, living.length);
      job.ranks[victim]!.kill("SIGKILL");
      living = living.filter((rank) => rank !== victim);
    }
    expect(seatsOf(await reached(job, living, 1))).toEqual([[2]]);
    await endOf(job, living);
  });

  it.each([1, 2])(
    "evicts rank %i that was stopped, and refuses it when it wakes",
    { timeout: 60_000 },
    async (victim) => {
      for (const TRANSPORT of ["websocket", "shared-file"]) {
        const job = await startJob(PROGRAM, 4, { TRANSPORT, CALL_MS: "500" });
        await reached(job, [0, 1, 2, 3], 4);
        job.ranks[victim]!.kill("SIGSTOP");
        const survivors = [0, 1, 2, 3].filter((rank) => rank !== victim);
        expect(seatsOf(await reached(job, survivors, 3))).toEqual(Array(3).fill(survivors));
        job.ranks[victim]!.kill("SIGCONT");
        const { message } = await job.reported((r) => r.rank === victim && "refused" in r.message);
        expect(message.refused, String(message.text)).toBe("AdmissionError");
        await endOf(job, survivors);
        expect((await job.ended)[victim]).toEqual({ code: 0, signal: null });
      }
    },
  );

  it.each(["websocket", "auto"])(
    "goes on without rank 0 that is stopped and holds the store, over %s, and refuses it when it wakes",
    { timeout: 60_000 },
    async (TRANSPORT) => {
      const job = await startJob(PROGRAM, 3, { TRANSPORT, CALL_MS: "500" });
      await reached(job, [0, 1, 2], 3);
      job.ranks[0]!.kill("SIGSTOP");
      const stoppedAt = Date.now();
      const reports = await reached(job, [1, 2], 2);
      expect(seatsOf(reports)).toEqual(Array(2).fill([1, 2]));
      for (const { message } of reports) expect((message.at as number) - stoppedAt).toBeLessThanOrEqual(15_000);
      job.ranks[0]!.kill("SIGCONT");
      const { message } = await job.reported((r) => r.rank === 0 && ("refused" in r.message || r.message.size === 1));
      expect(message.refused, JSON.stringify(message)).toBe("AdmissionError");
      // The group has a store and a host as before: it follows the end of that one, too.
      job.ranks[1]!.kill("SIGKILL");
      expect(seatsOf(await reached(job, [2], 1))).toEqual([[2]]);
      await endOf(job, [2]);
    },
  );

  it("is an error in seconds where rank 0 dies that relayed between the others: one goes on at most", {
    timeout: 60_000,
  }, async () => {
    const job = await startJob(PROGRAM, 3, { TRANSPORT: "hub" });
    await reached(job, [0, 1, 2], 3);
    const killedAt = Date.now();
    job.ranks[0]!.kill("SIGKILL");
    const goesOnAlone = ({ message }: Report) => message.epoch === 1;
    const ends = [1, 2].map((rank) =>
      job.reported((report) => report.rank === rank && ("refused" in report.message || goesOnAlone(report))),
    );
    for (const { message } of await Promise.all(ends)) {
      expect((message.at as number) - killedAt).toBeLessThanOrEqual(5_000);
      // Once the process of the other has ended, the one that asks later is a majority of those that may live.
      if (message.epoch === 1) expect(message).toMatchObject({ size: 1, globalRanks: [message.seat], right: true });
      else expect(message.refused, String(message.text)).toBe("AdmissionError");
    }
    expect(job.reports.filter(goesOnAlone).length).toBeLessThanOrEqual(1);
    for (const { rank } of job.reports.filter(goesOnAlone)) job.ranks[rank]!.send("end");
    await job.ended;
  });
});

describe("join: true", () => {
  it.each([
    ["tcp", 2],
    ["tcp", 0],
    ["file", 0],
  ])("replaces a rank: at %s, after the kill of rank %i", { timeout: 60_000 }, async (place, victim) => {
    const folder = temporaryFolder();
    const env = { ADMIT: "1", ...(place === "file" ? { WEBCCL_INIT_METHOD: `file://${folder}/store` } : {}) };
    const job = await startJob(PROGRAM, 3, env);
    await reached(job, [0, 1, 2], 3);
    job.ranks[victim]!.kill("SIGKILL");
    const survivors = [0, 1, 2].filter((rank) => rank !== victim);
    await reached(job, survivors, 2);
    const joiner = job.start({ JOIN: "1", RANK: "", WORLD_SIZE: "" });
    const { message: grown } = await job.reported(({ rank }) => rank === joiner);
    expect(grown, JSON.stringify(grown)).toMatchObject({ size: 3, rank: 2, right: true });
    for (const rank of survivors) {
      await job.reported((r) => r.rank === rank && r.message.size === 3 && r.message.epoch === grown.epoch);
    }
    await endOf(job, [...survivors, joiner]);
  });

  it.each([
    [0, 1],
    [1, 0],
  ])(
    "goes on when rank %i was lost before it came, and then rank %i dies that hosts the hub",
    { timeout: 60_000 },
    async (...victims) => {
      const [first, host] = victims;
      const job = await startJob(PROGRAM, 3, { ADMIT: "1" });
      await reached(job, [0, 1, 2], 3);
      job.ranks[first]!.kill("SIGKILL");
      await reached(job, [host, 2], 2);
      const joiner = job.start({ JOIN: "1", RANK: "", WORLD_SIZE: "" });
      const { message: grown } = await job.reported(({ rank }) => rank === joiner);
      expect(grown, JSON.stringify(grown)).toMatchObject({ size: 3, globalRanks: [host, 2, 3], right: true });
      job.ranks[host]!.kill("SIGKILL");
      for (const rank of [2, joiner]) {
        const { message } = await job.reported(
          (r) => r.rank === rank && ("refused" in r.message || (r.message.size === 2 && r.message.epoch === 3)),
        );
        expect(message, JSON.stringify(message)).toMatchObject({ globalRanks: [2, 3], right: true });
      }
      await endOf(job, [2, joiner]);
    },
  );
});
