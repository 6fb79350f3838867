/** Two hosts whose cable is pulled: only the side with the store goes on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Job } from "../faults/job.ts";
import { freePort } from "../helpers/free-port.ts";
import { type Hosts, makeHosts } from "./hosts/hosts.ts";

const PROGRAM = "../../membership/programs/elastic.mjs";
const CALL_MS = 2_000;
/** What the program gives shrink, and how long a store is waited for that does not answer. */
const [SHRINK_MS, STORE_MS] = [5_000, 5_000] as const;
/** No link closes: of the far side each rank waits in turn for the members below it, at most two, before it asks the store. */
const LIMIT_MS = CALL_MS + 2 * SHRINK_MS + STORE_MS + 5_000;

let made: Hosts;
beforeAll(() => {
  made = makeHosts();
});
afterAll(() => made.end());

/** Ranks on these hosts, linked directly; rank 0 holds the store. */
async function start(hostOf: readonly (0 | 1)[]): Promise<Job> {
  const place = { MASTER_ADDR: made.hosts[0].address, MASTER_PORT: String(await freePort()) };
  const job = new Job(PROGRAM, { ...place, WEBCCL_TOKEN: "secret", CALL_MS: String(CALL_MS) });
  for (const [rank, index] of hostOf.entries()) {
    const { address, command } = made.hosts[index];
    const listen = JSON.stringify({ host: address, insecure: true });
    job.start({ RANK: String(rank), WORLD_SIZE: String(hostOf.length), LISTEN: listen }, command);
  }
  return job;
}

/** On which host each rank is. */
const JOBS = {
  halves: [0, 0, 1, 1],
  "a minority with the store": [0, 1, 1],
  "a majority with the store": [0, 0, 1],
} as const;

describe("a network that is split", () => {
  it("goes on where the store is, and nowhere else", { timeout: 120_000 }, async ({ skip }) => {
    skip(!made.areApart, "this user may make no network namespace");
    const jobs = await Promise.all(
      Object.entries(JOBS).map(async ([name, hostOf]) => ({ name, hostOf, job: await start(hostOf) })),
    );
    try {
      for (const { job, hostOf } of jobs) {
        for (const rank of hostOf.keys()) {
          await job.reported((r) => r.rank === rank && r.message.size === hostOf.length);
        }
      }
      made.setCable("down");
      const cutAt = Date.now();
      await Promise.all(jobs.map(({ name, job, hostOf }) => expectOneSide(name, job, hostOf, cutAt)));
      // Nobody of the far sides made a group, and none comes into one when the cable is back.
      made.setCable("up");
      for (const { name, job, hostOf } of jobs) {
        const near = [...hostOf.keys()].filter((rank) => hostOf[rank] === 0);
        for (const rank of near) job.ranks[rank]!.send("end");
        expect(await job.ended, name).toEqual(hostOf.map(() => ({ code: 0, signal: null })));
        const groups = job.reports.filter(({ message }) => message.epoch === 1);
        expect(groups.map(({ rank }) => rank).sort(), name).toEqual(near);
      }
    } finally {
      made.setCable("up");
      for (const { job } of jobs) job.kill();
    }
  });
});

/** The ranks of the first host make a group, and those of the second are told that they may not. */
async function expectOneSide(name: string, job: Job, hostOf: readonly (0 | 1)[], cutAt: number): Promise<void> {
  const near = [...hostOf.keys()].filter((rank) => hostOf[rank] === 0);
  const delays: number[] = [];
  for (const rank of near) {
    const { message } = await job.reported((r) => r.rank === rank && r.message.size === near.length);
    expect(message, name).toMatchObject({ globalRanks: near, right: true });
    delays.push((message.at as number) - cutAt);
  }
  for (const rank of [...hostOf.keys()].slice(near.length)) {
    const { message } = await job.reported((r) => r.rank === rank && "refused" in r.message);
    expect(message.refused, `${name}: ${message.text}`).toMatch(/^(AdmissionError|TimeoutError)$/);
    expect(message.text, name).toMatch(/only the side that (holds|reaches) it goes on/);
    delays.push((message.at as number) - cutAt);
  }
  console.log(`${name}: settled ${delays.join(", ")} ms after the cut`);
  expect(Math.max(...delays), name).toBeLessThanOrEqual(LIMIT_MS);
}
