/** R6: one rank's call differs from the others'. */
import { others, program, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;
const FIELDS = ["collective", "dtype", "count", "root", "op", "sequence", "size"] as const;
const TRANSPORTS = ["websocket", "shared-file", "mapped-memory", "hub"] as const;

/** See the file's head. */
export const mismatch: Scenario = {
  id: "R6",
  title: "mismatch of collective, dtype, count, root, op, sequence or size: every rank rejects, with both sides",
  limitMs: 1_000,
  repetitions: 28,
  draw(random, number) {
    const field = FIELDS[number % FIELDS.length]!;
    const [victim, transport] = [random.below(RANKS), random.pick(TRANSPORTS)];
    return {
      what: `${field} of rank ${victim} over ${transport}`,
      async inject() {
        const findings = new Findings();
        const env = { VICTIM: String(victim), FIELD: field, TRANSPORT: transport };
        const job = await startJob(program("mismatched.mjs"), RANKS, env);
        const ends = await job.ended;
        const failures = job.reports.filter(({ message }) => "error" in message).map(({ message }) => message);
        findings.expect(failures.length === RANKS, `${failures.length} of ${RANKS} ranks rejected`);
        const lastCall = Math.max(...failures.map(({ calledAt }) => Number(calledAt)));
        for (const { error, text, at } of failures) {
          findings.expect(error === "MismatchError", `told was ${error}: ${text}`);
          findings.expect(namesBoth(String(text), victim), `it names not both sides: ${text}`);
          findings.times.push(Number(at) - lastCall);
        }
        for (const rank of others(RANKS)) {
          const reports = job.reports.filter((one) => one.rank === rank);
          const isWhole = reports.some(({ message }) => message.right === true);
          findings.expect(isWhole && ends[rank]!.code === 0, `rank ${rank} has no right allReduce after it`);
          if (reports.some(({ message }) => message.right === false)) findings.wrong.push(`rank ${rank}`);
        }
        return findings;
      },
    };
  },
};

/** Does the text name the rank that differs and another one? */
function namesBoth(text: string, victim: number): boolean {
  const named = new Set([...text.matchAll(/ranks? (\d+)/g)].map(([, rank]) => Number(rank)));
  return named.has(victim) && named.size > 1;
}
