import { describe, expect, it } from "vitest";
import { initProcessGroup } from "../../src/node/index.ts";
import { initMethodOf } from "../conformance/harness.ts";

const MIB = 2 ** 20;
const LONG = 4160 * 1024;

describe("ProcessGroup.info().segmentBytes", () => {
  it.each([
    [2, "websocket", LONG],
    [4, "websocket", LONG],
    [5, "websocket", MIB],
    [2, "hub", MIB / 2],
  ] as const)("of %d ranks by %s is %d on each", async (worldSize, transport, segmentBytes) => {
    const initMethod = await initMethodOf(transport);
    const groups = await Promise.all(
      Array.from({ length: worldSize }, (_, rank) =>
        initProcessGroup({ initMethod, rank, worldSize, transport, backend: "cpu" }),
      ),
    );
    expect(groups.map((group) => group.info().segmentBytes)).toEqual(groups.map(() => segmentBytes));
    // Of five, four that make a group of their own are few.
    const parts = await Promise.all(groups.map((group) => group.split(group.rank < 4 ? 0 : 1)));
    expect(parts[0]!.info().segmentBytes).toBe(worldSize === 5 ? LONG : segmentBytes);
    await Promise.all(groups.map((group) => group.destroy()));
  });
});
