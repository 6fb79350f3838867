/** R12: 10,000 operations, after which nothing has grown. */
import { others, program, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";

const RANKS = 2;
const OPERATIONS = 10_000;
const WARM_UP = 2_000;
const MOST_BYTES_PER_1000 = 2 ** 20;
const TRANSPORTS = ["websocket", "shared-file", "mapped-memory", "hub"] as const;

/** See the file's head. */
export const longRun: Scenario = {
  id: "R12",
  title: "10,000 operations: heap slope at most 1 MiB per 1,000 after warm-up, files and sockets back to the start",
  limitMs: Number.POSITIVE_INFINITY,
  repetitions: TRANSPORTS.length,
  draw(_, number) {
    const transport = TRANSPORTS[number % TRANSPORTS.length]!;
    return {
      what: `over ${transport}`,
      async inject() {
        const findings = new Findings();
        const env = { TRANSPORT: transport, OPERATIONS: String(OPERATIONS) };
        const job = await startJob(program("long-running.mjs"), RANKS, env);
        const ends = await job.ended;
        for (const rank of others(RANKS)) {
          const messages = job.reports.filter((one) => one.rank === rank).map(({ message }) => message);
          const heap = messages.filter(({ operations }) => Number(operations) > WARM_UP);
          const slope =
            1_000 * slopeOf(heap.map(({ operations, heapBytes }) => [Number(operations), Number(heapBytes)]));
          findings.atMost("heap bytes per 1,000 operations", Math.round(slope));
          findings.expect(
            heap.length === (OPERATIONS - WARM_UP) / 500,
            `rank ${rank} told its heap ${heap.length} times`,
          );
          findings.expect(slope <= MOST_BYTES_PER_1000, `the heap of rank ${rank} grew by ${slope} bytes per 1,000`);
          const end = messages.find((message) => "more" in message);
          findings.expect(String(end?.more) === "", `rank ${rank} holds more than before: ${end?.more}`);
          findings.expect(ends[rank]!.code === 0, `rank ${rank} ended with ${ends[rank]!.code}`);
          for (const { wrong } of messages.filter((message) => "wrong" in message)) findings.wrong.push(String(wrong));
        }
        return findings;
      },
    };
  },
};

/** Of the line through these points, by least squares. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const over = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return over / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}
