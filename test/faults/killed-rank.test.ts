import { describe, expect, it } from "vitest";
import { freePort, isFree } from "../helpers/free-port.ts";
import { sharedFilesOf } from "../helpers/shared-files.ts";
import { startJob } from "./job.ts";

const RANKS = 4;
/** Runs per point; each rank is the victim in turn, rank 0 too, which hosts the hub. */
const RUNS = Number(process.env.WEBCCL_FAULT_RUNS ?? RANKS);

describe.each(["websocket", "shared-file", "mapped-memory"])(
  "SIGKILL of a rank in the middle of a 64 MB allReduce over %s",
  (TRANSPORT) => {
    for (const fraction of [0.1, 0.5, 0.9]) {
      it(`at ${fraction * 100} %: every survivor rejects within 2 s and names it, ${RUNS} times`, {
        timeout: 300_000,
      }, async () => {
        const delays: number[] = [];
        for (let run = 0; run < RUNS; run++) {
          const victim = run % RANKS;
          const port = await freePort();
          const env = { TRANSPORT, VICTIM: String(victim), FRACTION: String(fraction), MASTER_PORT: String(port) };
          const job = await startJob("killed.mjs", RANKS, env);
          const ends = await job.ended;
          const killedAt = job.reports.find(({ message }) => "killedAt" in message)?.message.killedAt as number;
          const survivors = ends.flatMap((_, rank) => (rank === victim ? [] : [rank]));
          for (const rank of survivors) {
            const reports = job.reports.filter((report) => report.rank === rank).map(({ message }) => message);
            const failure = reports.find((message) => "error" in message);
            expect(failure, `rank ${rank} of run ${run}: ${JSON.stringify(reports)}`).toMatchObject({
              error: "PeerLostError",
              lost: victim,
            });
            expect(reports.find((message) => "later" in message)).toEqual({ later: "PeerLostError", lost: victim });
            expect(reports.some((message) => "wrong" in message)).toBe(false);
            delays.push((failure!.at as number) - killedAt);
            expect(ends[rank]).toEqual({ code: 0, signal: null });
          }
          expect(ends[victim]!.signal).toBe("SIGKILL");
          expect(await isFree(port)).toBe(true);
          expect(sharedFilesOf(job.ranks.map(({ pid }) => pid))).toEqual([]);
        }
        delays.sort((a, b) => a - b);
        console.log(
          `rejected after ${delays[delays.length >> 1]} ms (median), ${delays.at(-1)} ms (worst) of ${delays.length}`,
        );
        expect(delays.at(-1)).toBeLessThanOrEqual(2_000);
      });
    }
  },
);
