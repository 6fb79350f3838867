import { describe, expect, it } from "vitest";
import { startJob } from "./job.ts";

const RANKS = 4;

describe("SIGKILL of a rank in the middle of a Reducer's step", () => {
  it.each([0, 2])(
    "rank %i: the step and all later ones reject on every survivor within 2 s, and name it",
    async (victim) => {
      const job = await startJob("killed-in-step.mjs", RANKS, { VICTIM: String(victim) });
      const ends = await job.ended;
      const killedAt = job.reports.find(({ message }) => "killedAt" in message)?.message.killedAt as number;
      for (const rank of ends.keys()) {
        if (rank === victim) continue;
        const reports = job.reports.filter((report) => report.rank === rank).map(({ message }) => message);
        const lost = { error: "PeerLostError", lost: victim };
        expect(reports).toMatchObject([
          { step: 3, ...lost },
          { step: 4, ...lost },
        ]);
        expect(reports[0]!.told).toMatch(/PeerLostError/);
        expect((reports[0]!.at as number) - killedAt).toBeLessThanOrEqual(2_000);
        expect(ends[rank]).toEqual({ code: 0, signal: null });
      }
      expect(ends[victim]!.signal).toBe("SIGKILL");
    },
    60_000,
  );
});
