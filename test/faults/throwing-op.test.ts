/** A custom operation that throws on one rank: every rank's call rejects, and no rank goes on with values that are no sum. */
import { afterAll, describe, expect, it } from "vitest";
import { startThreads } from "../../src/node/thread-job.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";
import { bundled } from "../helpers/bundled.ts";
import { freePort } from "../helpers/free-port.ts";
import { callThatThrows, type Outcome, type ThrowingCall } from "./programs/throwing-op.ts";

const random = new SeededRandom(31, "throwing op");
const oneOf = <T>(...values: readonly T[]): T => values[random.u32() % values.length] as T;

/** Which rank throws, at which of its foldings, in a call of which size. */
const CALLS: ThrowingCall[] = Array.from({ length: 12 }, () => {
  const size = oneOf(2, 3, 4);
  const thrower = random.u32() % size;
  const commutative = oneOf(true, false);
  return { size, thrower, at: oneOf(0, 1, 3), count: oneOf(4, 700, 40_000), commutative, isAlloc: oneOf(true, false) };
});

/** How many of the calls were rejected. */
let rejected = 0;
afterAll(() => {
  expect(rejected).toBeGreaterThan(CALLS.length);
});

/**
 * The rank whose operation throws may have nothing to fold: then the call is right everywhere. Else nobody has a result, and
 * who is told of another rank's failure is told which rank's.
 */
function expectOneStory(outcomes: readonly Outcome[], { thrower }: ThrowingCall): void {
  if (outcomes.every((outcome) => outcome === "right")) return;
  rejected++;
  for (const [rank, outcome] of outcomes.entries()) {
    expect(outcome, `rank ${rank} of ${JSON.stringify(outcomes)}`).toMatch(rank === thrower ? /boom/ : /boom|aborted/i);
    if (rank !== thrower) expect(outcome).toMatch(new RegExp(`rank ${thrower}\\b`));
  }
}

describe.each([...TEST_TRANSPORTS])("a custom operation that throws, over %s", (transport) => {
  it.each(CALLS)("rejects on every rank: %o", async (call) => {
    expectOneStory(await withGroup(transport, call.size, (group) => callThatThrows(group, call)), call);
  });
});

describe("a custom operation that throws, over threads", () => {
  it.each(CALLS)("rejects on every rank: %o", async (call) => {
    const script = await bundled(new URL("programs/throwing-op.ts", import.meta.url).pathname);
    const place = { WORLD_SIZE: `${call.size}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${await freePort()}` };
    const workers = startThreads({
      ranks: call.size,
      script,
      args: [JSON.stringify(call)],
      tsx: null,
      environment: { ...process.env, ...place },
      piped: false,
    });
    const outcomes = workers.map(
      (worker) =>
        new Promise<Outcome>((resolve, reject) => {
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    );
    try {
      expectOneStory(await Promise.all(outcomes), call);
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});
