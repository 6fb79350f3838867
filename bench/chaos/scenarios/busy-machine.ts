/** R15: all cores are busy with other work, and a rank blocks its event loop between two calls. */
import { availableParallelism } from "node:os";
import { keepBusy, others, program, reportedBy, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 4;
const BLOCK_MS = 20_000;
/** Between two blocks. */
const PAUSE_MS = 5_000;

/** See the file's head. */
export const busyMachine: Scenario = {
  id: "R15",
  title: "all cores at 100 %, and ranks that block their event loop for 20 s between calls: nobody is evicted",
  limitMs: Number.POSITIVE_INFINITY,
  repetitions: 2,
  draw(random, number, { minutes }) {
    const transport = (["websocket", "hub"] as const)[number % 2]!;
    // At least one, however short the run.
    const count = Math.max(1, Math.floor((minutes * 60_000) / 2 / (BLOCK_MS + PAUSE_MS)));
    const victims = Array.from({ length: count }, () => random.below(RANKS));
    return { what: `ranks ${victims.join(" ")} over ${transport}`, inject: () => inject(victims, transport) };
  },
};

async function inject(victims: readonly number[], transport: string): Promise<Findings> {
  const findings = new Findings();
  const release = keepBusy(availableParallelism());
  try {
    const job = await startJob(program("blocking.mjs"), RANKS, { TRANSPORT: transport });
    await reportedBy(job, others(RANKS), (message) => "running" in message || "error" in message);
    for (const [number, victim] of victims.entries()) {
      job.ranks[victim]!.send({ blockMs: BLOCK_MS });
      const told = (word: string) => job.reports.filter(({ message }) => word in message).length;
      await job.until(() => told("error") > 0 || told("blocked") > number);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    for (const child of job.ranks) if (child.connected) child.send({ end: true });
    const ends = await job.ended;
    for (const { message } of job.reports) {
      if ("wrong" in message) findings.wrong.push(String(message.wrong));
      if ("error" in message) findings.broken.push(`${message.error}: ${message.text}`);
      if (!("reduces" in message)) continue;
      findings.atMost("allReduces", Number(message.reduces));
      findings.atMost("longest allReduce, which waits for a blocked rank, ms", Math.round(Number(message.worstMs)));
    }
    for (const { code } of ends) findings.expect(code === 0, `a rank ended with ${code}`);
  } finally {
    release();
  }
  return findings;
}
