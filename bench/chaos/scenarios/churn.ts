/** R7: ranks join and are killed all the time. */
import type { SeededRandom } from "../../../src/support/seeded-random.ts";
import type { Job } from "../../../test/faults/job.ts";
import { program, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const [LEAST, MOST, FIRST] = [2, 6, 3] as const;
const [LEAST_WAIT_MS, MOST_WAIT_MS] = [500, 2_000] as const;
/** Of 10 events so many are joins, the others kills. */
const JOINS_OF_10 = 6;
/** Of so many events one is hasty. */
const HASTY_OF = 3;
/** How long a change may be waited for before the next event comes all the same. */
const PATIENCE_MS = 10_000;

interface Event {
  readonly waitMs: number;
  readonly isJoin: boolean;
  /** Which of the living is killed, in the order in which they were started: taken modulo their number. */
  readonly victim: number;
  /** Does the next event come before this one's change is over, if that takes longer than the pause between them? */
  readonly isHasty: boolean;
}

/** See the file's head. The oldest, which hosts hub and store, is killed as often as any other. */
export const churn: Scenario = {
  id: "R7",
  title: "2 to 6 ranks, every 0.5 to 2 s a join (60 %) or a SIGKILL: the longest time between right reduces after each",
  limitMs: 10_000,
  repetitions: 1,
  draw(random, _, { minutes }) {
    const events = drawEvents(random, minutes * 60_000);
    const drawn = events.map(
      ({ waitMs, isJoin, victim, isHasty }) =>
        `${waitMs} ms, ${isJoin ? "join" : `kill ${victim}`}${isHasty ? "!" : ""}`,
    );
    return { what: `${events.length} events: ${drawn.join("; ")}`, inject: () => play(events) };
  },
};

function drawEvents(random: SeededRandom, forMs: number): Event[] {
  const events: Event[] = [];
  for (let ms = 0; ms < forMs; ) {
    const waitMs = LEAST_WAIT_MS + random.below(MOST_WAIT_MS - LEAST_WAIT_MS);
    // Never two in a row: one member at least lives through all of them.
    const isHasty = random.below(HASTY_OF) === 0 && !events.at(-1)?.isHasty;
    events.push({ waitMs, isJoin: random.below(10) < JOINS_OF_10, victim: random.below(60), isHasty });
    ms += waitMs;
  }
  return events;
}

async function play(events: readonly Event[]): Promise<Findings> {
  const findings = new Findings();
  const job = await startJob(program("churning.mjs"), FIRST);
  const living = Array.from({ length: FIRST }, (_, rank) => rank);
  let since = 0;
  /** Waits until all that live have reduced in one group since the last event. */
  const settled = async (): Promise<void> => {
    const isSettled = () =>
      living.every((rank) => job.reports.slice(since).some((r) => r.rank === rank && r.message.size === living.length));
    const all = job.until(isSettled).then(() => true);
    all.catch(() => {});
    const inTime = await Promise.race([all, after(PATIENCE_MS).then(() => false)]);
    if (inTime) return;
    findings.broken.push(`${living.length} ranks were not in one group 10 s after an event: ${lastWords(job, living)}`);
  };
  await settled();
  const eventsAt: number[] = [];
  let [joins, kills] = [0, 0];
  for (const { waitMs, isJoin, victim, isHasty } of events) {
    await after(waitMs);
    since = job.reports.length;
    eventsAt.push(Date.now());
    // At the bounds the other of the two happens.
    if (living.length <= LEAST || (isJoin && living.length < MOST)) {
      living.push(job.start({ JOIN: "1", RANK: "", WORLD_SIZE: "" }));
      joins++;
    } else {
      const [rank] = living.splice(victim % living.length, 1);
      job.ranks[rank!]!.kill("SIGKILL");
      kills++;
    }
    if (isHasty) continue;
    await settled();
    findings.atMost("worst time until all that live were in one group, ms", Date.now() - eventsAt.at(-1)!);
  }
  // Who joins at the end comes in before there is no group any more.
  if (events.at(-1)?.isHasty) await settled();
  for (const rank of living) job.ranks[rank]!.send("end");
  const ends = await job.ended;
  for (const rank of living) findings.expect(ends[rank]!.code === 0, `rank ${rank} ended with ${ends[rank]!.code}`);
  findings.atMost("joins", joins);
  findings.atMost("kills", kills);
  judge(job, findings, eventsAt);
  return findings;
}

/** Looks at all that the ranks told. */
function judge(job: Job, findings: Findings, eventsAt: readonly number[]): void {
  const bits = new Map<string, unknown>();
  let compared = 0;
  for (const { rank, message } of job.reports) {
    if ("wrong" in message) findings.wrong.push(String(message.wrong));
    // A living rank that its group goes on without.
    if ("refused" in message) {
      findings.broken.push(`rank ${rank}, which lives, was refused: ${message.text}; ${message.after}`);
    }
    if (!("bits" in message)) continue;
    const place = `epoch ${message.epoch} of ${message.members}, step ${message.step}`;
    const before = bits.get(place);
    if (before === undefined) bits.set(place, message.bits);
    else {
      compared++;
      if (before !== message.bits) findings.wrong.push(`${place}: ranks have different floats`);
    }
  }
  findings.atMost("reduces compared bit by bit", compared);
  const rights = job.reports.flatMap(({ message }) => ("bits" in message ? [Number(message.at)] : []));
  findings.times.push(
    ...longestGaps(
      rights.sort((a, b) => a - b),
      eventsAt,
    ),
  );
}

/** The longest time between two reduces, of which the later one is behind an event and before the next. */
function longestGaps(rights: readonly number[], eventsAt: readonly number[]): number[] {
  return eventsAt.map((eventAt, i) => {
    const nextAt = eventsAt[i + 1] ?? Number.POSITIVE_INFINITY;
    const gaps = rights.map((at, n) => (at >= eventAt && at < nextAt ? at - (rights[n - 1] ?? at) : 0));
    return Math.max(...gaps);
  });
}

function lastWords(job: Job, living: readonly number[]): string {
  const words = living.map((rank) => job.reports.filter((one) => one.rank === rank).at(-1)?.message);
  return JSON.stringify(words);
}

const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
