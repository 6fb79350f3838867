/** R4: a hub that stands alone is killed. */
import { others, reportedBy, startHub, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;

/** See the file's head. */
export const killedHub: Scenario = {
  id: "R4",
  title: "SIGKILL of the hub: all ranks reject, and their processes end cleanly",
  limitMs: 2_000,
  repetitions: 10,
  draw(random) {
    const [transport, delayMs] = [random.pick(["websocket", "hub"] as const), random.below(200)];
    return {
      what: `over ${transport}, ${delayMs} ms into the calls`,
      async inject() {
        const findings = new Findings();
        const { hub, url } = await startHub();
        const env = { TRANSPORT: transport, WEBCCL_INIT_METHOD: `${url}/group` };
        const job = await startJob("reducing.mjs", RANKS, env);
        await reportedBy(job, others(RANKS), ({ running }) => running === true);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        const killedAt = Date.now();
        hub.kill("SIGKILL");
        for (const failure of await reportedBy(job, others(RANKS), (message) => "error" in message)) {
          findings.expect(failure.error === "HubLostError", `told was ${failure.error}: ${failure.text}`);
          findings.times.push(Number(failure.at) - killedAt);
        }
        for (const { code } of await job.ended) findings.expect(code === 0, `a rank ended with ${code}`);
        return findings;
      },
    };
  },
};
