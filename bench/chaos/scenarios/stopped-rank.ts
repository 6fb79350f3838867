/** R2: a process is stopped (SIGSTOP), the others go on without it, and it wakes (SIGCONT). */
import { others, reportedBy, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;
const TIMEOUT_MS = 5_000;
const TRANSPORTS = ["websocket", "shared-file", "hub"] as const;

/** See the file's head. Rank 0 is not stopped where it relays between the others: without it nobody may go on (docs/membership.md). */
export const stoppedRank: Scenario = {
  id: "R2",
  title: "SIGSTOP, then SIGCONT: a TimeoutError names the rank after the timeout of 5 s, and the woken rank is refused",
  limitMs: TIMEOUT_MS + 1_000,
  repetitions: 10,
  draw(random) {
    const transport = random.pick(TRANSPORTS);
    const victim = transport === "hub" ? 1 + random.below(RANKS - 1) : random.below(RANKS);
    return {
      what: `rank ${victim} over ${transport}`,
      async inject() {
        const findings = new Findings();
        const env = { TRANSPORT: transport, CALL_MS: String(TIMEOUT_MS) };
        const job = await startJob("../../membership/programs/elastic.mjs", RANKS, env);
        await reportedBy(job, others(RANKS), ({ size }) => size === RANKS);
        const stoppedAt = Date.now();
        job.ranks[victim]!.kill("SIGSTOP");
        const survivors = others(RANKS, victim);
        for (const failure of await reportedBy(job, survivors, (message) => "error" in message)) {
          const isNamed = failure.error === "TimeoutError" && String(failure.missing) === String(victim);
          findings.expect(isNamed, `told was ${failure.error} of ${failure.lost ?? failure.missing}`);
          findings.times.push(Number(failure.at) - stoppedAt);
        }
        const shrunk = await reportedBy(job, survivors, ({ size, refused }) => size === RANKS - 1 || Boolean(refused));
        job.ranks[victim]!.kill("SIGCONT");
        const [woken] = await reportedBy(job, [victim], (message) => "refused" in message);
        findings.expect(
          woken!.refused === "AdmissionError",
          `the woken rank was told ${woken!.refused}: ${woken!.text}`,
        );
        for (const message of shrunk)
          findings.expect(message.right === true, `a survivor said ${JSON.stringify(message)}`);
        for (const rank of survivors) job.ranks[rank]!.send("end");
        for (const [rank, { code }] of (await job.ended).entries()) {
          findings.expect(code === 0, `rank ${rank} ended with ${code}`);
        }
        for (const { message } of job.reports) if ("wrong" in message) findings.wrong.push(JSON.stringify(message));
        return findings;
      },
    };
  },
};
