import { describe, expect, it, onTestFinished } from "vitest";
import { SeededRandom } from "../../src/testing/index.ts";
import { FlipRun, tryFlips, WAYS } from "./flips.ts";

/** How many of the nightly run's 10,000 flips are tried here, and the seed that draws them. */
const FLIPS = 100;
const SEED = 17;

async function openRun(): Promise<FlipRun> {
  const run = await FlipRun.open();
  onTestFinished(() => run.close());
  return run;
}

describe("a byte that changes on the way between ranks", () => {
  it(`ends in an error or in no harm, ${FLIPS} of ${FLIPS} times`, async () => {
    const { flips, ends, faults } = await tryFlips(FLIPS, SEED);
    console.log(`${flips} flips: ${JSON.stringify(ends)}`);
    expect(faults).toEqual([]);
    expect(flips).toBe(FLIPS);
    expect(ends.unnoticed ?? 0).toBe(0);
    // Most bytes are a frame's, and not the WebSocket's around it.
    expect(ends.INTEGRITY).toBeGreaterThan(FLIPS * 0.8);
  });

  it.each(WAYS)(
    "of a tensor is an IntegrityError at every rank that names both ends and a remedy, over %s",
    async (way) => {
      const run = await openRun();
      const { crossed } = await run.group(way, 5_000, null);
      const middle = Math.floor(crossed[1]!.up / 2);
      const flip = { connection: 1, direction: "up", at: middle, change: 4 } as const;
      const { codes, messages, wrong, flipped } = await run.group(way, 5_000, flip);
      expect([flipped, codes, wrong]).toEqual([true, ["INTEGRITY", "INTEGRITY", "INTEGRITY"], []]);
      const link =
        way === "hub"
          ? /the connection between rank \d and the hub at ws:\S+ changed bytes on the way: /
          : /the link between rank 0 and rank \d changed bytes on the way: /;
      for (const message of messages) {
        expect(message).toMatch(link);
        expect(message).toMatch(
          /came with the checksum [0-9a-f]{16}, and its bytes have [0-9a-f]{16}\. .*make a new group/,
        );
      }
    },
  );

  it.each(WAYS)("is an error too where one rank alone wants no checksums, over %s", async (way) => {
    const run = await openRun();
    const wishOf = (rank: number) => (rank === 1 ? "off" : "on");
    const { crossed, messages } = await run.group(way, 5_000, null, wishOf);
    expect(messages).toEqual([]);
    for (const connection of crossed.keys()) {
      const at = Math.floor(crossed[connection]!.up / 2);
      const flip = { connection, direction: "up", at, change: 4 } as const;
      const { codes, wrong, flipped } = await run.group(way, 5_000, flip, wishOf);
      expect([flipped, codes, wrong]).toEqual([true, ["INTEGRITY", "INTEGRITY", "INTEGRITY"], []]);
    }
  });

  it.each(WAYS)("gives wrong values without checksums, over %s, so that the tests above can fail", async (way) => {
    const run = await openRun();
    const random = new SeededRandom(3);
    const { crossed } = await run.group(way, 5_000, null, () => "off");
    let wrong = 0;
    for (let tries = 0; tries < 10; tries++) {
      const length = crossed[1]!.up;
      const at = Math.floor(length / 4) + random.below(Math.floor(length / 2));
      const flip = { connection: 1, direction: "up", at, change: 1 + random.below(255) } as const;
      wrong += (await run.group(way, 5_000, flip, () => "off")).wrong.length > 0 ? 1 : 0;
    }
    expect(wrong).toBeGreaterThan(5);
  });
});
