/** R14: 50 ranks join at once; groups are made and destroyed 100 times. */
import { others, program, reportedBy, startHub, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const [PROCESSES, RANKS_EACH] = [5, 10] as const;
const RANKS = PROCESSES * RANKS_EACH;
const CYCLES = 100;
const CYCLING_RANKS = 3;

/** See the file's head. */
export const joins: Scenario = {
  id: "R14",
  title: "50 joins at once, and 100 times a group that is made and destroyed: each is done, and nothing is left",
  limitMs: 5_000,
  repetitions: 10,
  draw(random, number) {
    if (number % 2 === 0) {
      const transport = random.pick(["hub", "websocket"] as const);
      return { what: `${RANKS} joins at once over ${transport}`, inject: () => atOnce(transport) };
    }
    const transport = random.pick(["hub", "websocket", "shared-file", "mapped-memory"] as const);
    return { what: `${CYCLES} groups, one after the other, over ${transport}`, inject: () => inTurn(transport) };
  },
};

async function atOnce(transport: string): Promise<Findings> {
  const findings = new Findings();
  const { url } = await startHub();
  const env = { RANKS_HERE: String(RANKS_EACH), JOB_SIZE: String(RANKS), TRANSPORT: transport };
  const job = await startJob(program("joining.mjs"), 0, env);
  for (const process of others(PROCESSES)) job.start({ FIRST_RANK: String(process * RANKS_EACH) });
  await reportedBy(job, others(PROCESSES), ({ ready }) => ready === true);
  const startedAt = Date.now();
  for (const child of job.ranks) child.send({ initMethod: `${url}/group` });
  const ends = await job.ended;
  const joined = job.reports.map(({ message }) => message).filter((message) => "joinedAt" in message);
  findings.expect(joined.length === RANKS, `${joined.length} of ${RANKS} ranks joined`);
  for (const { joinedAt, reducedAt, sum, rank } of joined) {
    findings.times.push(Number(joinedAt) - startedAt);
    findings.atMost("worst first allReduce of 50 ranks, ms", Number(reducedAt) - startedAt);
    if (sum !== (RANKS * (RANKS - 1)) / 2) findings.wrong.push(`rank ${rank} has ${sum}`);
  }
  for (const { message } of job.reports)
    if ("error" in message) findings.broken.push(`${message.error}: ${message.text}`);
  for (const { code } of ends) findings.expect(code === 0, `a process ended with ${code}`);
  return findings;
}

async function inTurn(transport: string): Promise<Findings> {
  const findings = new Findings();
  const env = { TRANSPORT: transport, CYCLES: String(CYCLES) };
  const job = await startJob(program("cycling.mjs"), CYCLING_RANKS, env);
  const ends = await job.ended;
  for (const rank of others(CYCLING_RANKS)) {
    const messages = job.reports.filter((one) => one.rank === rank).map(({ message }) => message);
    const end = messages.find((message) => "more" in message);
    findings.expect(ends[rank]!.code === 0 && end !== undefined, `rank ${rank} ended with ${ends[rank]!.code}`);
    if (!end) continue;
    findings.expect(String(end?.more) === "", `rank ${rank} holds more than before: ${end?.more}`);
    findings.times.push(Number(end.worstMs));
    for (const { wrong } of messages.filter((message) => "wrong" in message)) findings.wrong.push(String(wrong));
  }
  return findings;
}
