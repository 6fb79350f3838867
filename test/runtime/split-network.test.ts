/** Two hosts whose cable is pulled: only the side with the store goes on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Job } from "../faults/job.ts";
import { freePort } from "../helpers/free-port.ts";
import { type Hosts, makeHosts } from "./hosts/hosts.ts";

const PROGRAM = "../../membership/programs/elastic.mjs";
const CALL_MS = 2_000;
/** Waiting for the call, for those who are silent, for their links, and for a store that does not answer. */
const LIMIT_MS = CALL_MS + 5_000 + 10_000;

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

describe("a network that is split", () => {
  it.each([
    ["halves", [0, 0, 1, 1]],
    ["a minority with the store", [0, 1, 1]],
    ["a majority with the store", [0, 0, 1]],
  ] as const)("goes on where the store is, and nowhere else: %s", { timeout: 90_000 }, async (_, hostOf) => {
    if (!made.areApart) return;
    const job = await start(hostOf);
    try {
      const ranks = [...hostOf.keys()];
      for (const rank of ranks) await job.reported((r) => r.rank === rank && r.message.size === hostOf.length);
      made.setCable("down");
      const cutAt = Date.now();
      const near = ranks.filter((rank) => hostOf[rank] === 0);
      for (const rank of near) {
        const { message } = await job.reported((r) => r.rank === rank && r.message.size === near.length);
        expect(message).toMatchObject({ globalRanks: near, right: true });
        expect((message.at as number) - cutAt).toBeLessThanOrEqual(LIMIT_MS);
      }
      for (const rank of ranks.slice(near.length)) {
        const { message } = await job.reported((r) => r.rank === rank && "refused" in r.message);
        expect(message.refused, String(message.text)).toMatch(/^(AdmissionError|TimeoutError)$/);
        expect(message.text).toMatch(/only the side that (holds|reaches) it goes on/);
        expect((message.at as number) - cutAt).toBeLessThanOrEqual(LIMIT_MS);
      }
      // Nobody of the far side made a group, and none has come into one when the cable is back.
      made.setCable("up");
      for (const rank of near) job.ranks[rank]!.send("end");
      const ends = await job.ended;
      expect(ends).toEqual(ranks.map(() => ({ code: 0, signal: null })));
      const groups = job.reports.filter(({ message }) => message.epoch === 1);
      expect(groups.map(({ rank }) => rank).sort()).toEqual(near);
    } finally {
      made.setCable("up");
      job.kill();
    }
  });
});
