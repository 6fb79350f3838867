/** R3: a process is killed, and the others make a new group and reduce. */
import { others, reportedBy, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;
const TRANSPORTS = ["websocket", "shared-file", "hub"] as const;

/** See the file's head. Every fourth victim is rank 0, which hosts hub and store, except where it relays for the others. */
export const shrunkGroup: Scenario = {
  id: "R3",
  title: "SIGKILL, shrink(), first right allReduce: the time from the kill",
  limitMs: 5_000,
  medianLimitMs: 2_000,
  repetitions: 20,
  draw(random) {
    const transport = random.pick(TRANSPORTS);
    const victim = transport === "hub" ? 1 + random.below(RANKS - 1) : random.below(RANKS);
    return {
      what: `rank ${victim} over ${transport}`,
      async inject() {
        const findings = new Findings();
        const job = await startJob("../../membership/programs/elastic.mjs", RANKS, { TRANSPORT: transport });
        await reportedBy(job, others(RANKS), ({ size }) => size === RANKS);
        const survivors = others(RANKS, victim);
        const killedAt = Date.now();
        job.ranks[victim]!.kill("SIGKILL");
        for (const message of await reportedBy(job, survivors, (m) => m.size === RANKS - 1 || "refused" in m)) {
          findings.expect(
            String(message.globalRanks) === String(survivors),
            `a survivor said ${JSON.stringify(message)}`,
          );
          if (message.right === false) findings.wrong.push(JSON.stringify(message));
          findings.times.push(Number(message.at) - killedAt);
        }
        for (const rank of survivors) if (job.ranks[rank]!.connected) job.ranks[rank]!.send("end");
        const ends = await job.ended;
        for (const rank of survivors)
          findings.expect(ends[rank]!.code === 0, `rank ${rank} ended with ${ends[rank]!.code}`);
        for (const { message } of job.reports) if ("wrong" in message) findings.wrong.push(JSON.stringify(message));
        return findings;
      },
    };
  },
};
