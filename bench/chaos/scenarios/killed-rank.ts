/** R1: a process is killed in the middle of an allReduce of 64 MB. */
import { others, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;
const FRACTIONS = [0.1, 0.5, 0.9] as const;
const TRANSPORTS = ["websocket", "shared-file", "mapped-memory"] as const;

/** See the file's head. */
export const killedRank: Scenario = {
  id: "R1",
  title: "SIGKILL in the middle of an allReduce: all survivors reject, and name the rank",
  limitMs: 2_000,
  repetitions: 60,
  draw(random, number) {
    const fraction = FRACTIONS[number % FRACTIONS.length]!;
    const [victim, transport] = [random.below(RANKS), random.pick(TRANSPORTS)];
    return {
      what: `rank ${victim} at ${fraction * 100} % over ${transport}`,
      async inject() {
        const findings = new Findings();
        const env = { TRANSPORT: transport, VICTIM: String(victim), FRACTION: String(fraction) };
        const job = await startJob("killed.mjs", RANKS, env);
        const ends = await job.ended;
        const messages = (rank: number) => job.reports.filter((one) => one.rank === rank).map(({ message }) => message);
        const killedAt = Number(messages(victim).find((message) => "killedAt" in message)?.killedAt);
        findings.expect(ends[victim]?.signal === "SIGKILL", `the victim ended with ${JSON.stringify(ends[victim])}`);
        for (const rank of others(RANKS, victim)) {
          const reports = messages(rank);
          const failure = reports.find((message) => "error" in message);
          const isNamed = failure?.error === "PeerLostError" && failure.lost === victim;
          findings.expect(
            isNamed,
            `rank ${rank} was told ${failure?.error} of rank ${failure?.lost}: ${failure?.text}`,
          );
          findings.expect(ends[rank]?.code === 0, `rank ${rank} ended with ${JSON.stringify(ends[rank])}`);
          for (const { wrong } of reports.filter((message) => "wrong" in message)) findings.wrong.push(String(wrong));
          if (failure) findings.times.push(Number(failure.at) - killedAt);
        }
        return findings;
      },
    };
  },
};
