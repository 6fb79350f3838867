/** R5: a rank's GPU device is lost in the middle of an allReduce. */
import { gpuEnvironment } from "../../../test/helpers/gpu.ts";
import { others, program, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 2;
const OWN_LIMIT_MS = 500;

/** See the file's head. */
export const lostDevice: Scenario = {
  id: "R5",
  title: "GPU device lost in the middle of an allReduce: that rank rejects within 500 ms, the others within 1 s",
  limitMs: 1_000,
  repetitions: 10,
  draw(random) {
    const [victim, delayMs] = [random.below(RANKS), random.below(300)];
    return {
      what: `rank ${victim}, ${delayMs} ms into the calls`,
      async inject() {
        const findings = new Findings();
        const env = { ...gpuEnvironment(), VICTIM: String(victim), DELAY_MS: String(delayMs) };
        const job = await startJob(program("device.mjs"), RANKS, env);
        await job.ended;
        const lostAt = Number(job.reports.find(({ message }) => "lostAt" in message)?.message.lostAt);
        for (const rank of others(RANKS)) {
          const messages = job.reports.filter((one) => one.rank === rank).map(({ message }) => message);
          const failure = messages.find((message) => "error" in message);
          const isLost = failure?.error === "DeviceLostError";
          findings.expect(isLost, `rank ${rank} was told ${failure?.error}: ${failure?.text}`);
          const { later } = messages.find((message) => "later" in message) ?? {};
          findings.expect(later === "DeviceLostError", `the next call of rank ${rank} was told ${later}`);
          const ms = Number(failure?.at) - lostAt;
          findings.times.push(ms);
          if (rank !== victim) continue;
          findings.atMost("worst on the rank itself, ms", ms);
          findings.expect(ms <= OWN_LIMIT_MS, `rank ${rank} itself took ${ms} ms, more than ${OWN_LIMIT_MS}`);
        }
        return findings;
      },
    };
  },
};
