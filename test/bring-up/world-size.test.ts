import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { HashStore, initProcessGroup } from "../../src/node/index.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

let places = 0;

/** Where ranks can meet without a hub: each call is a place of its own. */
const PLACES: readonly [string, () => Partial<InitOptions>][] = [
  ["a file", () => ({ initMethod: pathToFileURL(join(temporaryFolder(), "store")).href })],
  ["a store of the caller's", () => ({ store: new HashStore() })],
  ["memory", () => ({ initMethod: `memory://world-size-${places++}` })],
];

/** Whichever of the two came first. */
const BOTH = /was begun with worldSize [23], and .* says [23]: all ranks give the same/;

describe.each(PLACES)("ranks that meet at %s", (_name, placeOf) => {
  it.each([
    [2, 3],
    [3, 2],
    [1, 2],
  ])("and say worldSize %i and %i are both told at once", { timeout: 8_000 }, async (first, second) => {
    const place = placeOf();
    const options = { ...place, backend: "cpu", timeoutMs: 60_000 } as const;
    if (first === 1) {
      // That group is up, and stays so.
      const alone = await initProcessGroup({ ...options, rank: 0, worldSize: 1 });
      await expect(initProcessGroup({ ...options, rank: 1, worldSize: 2 })).rejects.toMatchObject({
        code: "ADMISSION",
      });
      await alone.barrier();
      await alone.destroy();
      return;
    }
    const earlier = initProcessGroup({ ...options, rank: 0, worldSize: first });
    earlier.catch(() => {});
    await expect(initProcessGroup({ ...options, rank: 1, worldSize: second })).rejects.toThrow(BOTH);
    await expect(earlier).rejects.toThrow(BOTH);
    // The place is as good as new.
    const sizes = [0, 1].map((rank) => initProcessGroup({ ...options, rank, worldSize: 2 }));
    const groups = await Promise.all(sizes);
    await Promise.all(groups.map((group) => group.barrier()));
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it("and come once more, in another number, meet", { timeout: 8_000 }, async () => {
    const place = placeOf();
    for (const worldSize of [2, 3, 1]) {
      // The highest rank comes first: its seat was free in the meeting before.
      const ranks = Array.from({ length: worldSize }, (_, i) => worldSize - 1 - i);
      const joining = ranks.map((rank) =>
        initProcessGroup({ ...place, backend: "cpu", timeoutMs: 6_000, rank, worldSize }),
      );
      const groups = await Promise.all(joining);
      await Promise.all(groups.map((group) => group.barrier()));
      await Promise.all(groups.map((group) => group.destroy()));
    }
  });
});
