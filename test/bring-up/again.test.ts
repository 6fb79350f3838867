/** Ranks that meet, compute and leave, again and again in one place, each in its own time. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { HashStore, initProcessGroup, type Store } from "../../src/node/index.ts";
import { freePort } from "../helpers/free-port.ts";

const RANKS = 3;
const ROUNDS = 8;

type Place = { initMethod: string } | { store: Store };

/** Every rank's part: a rank may be a whole meeting ahead of another one that still leaves. */
async function again(place: Place): Promise<void> {
  const ranks = Array.from({ length: RANKS }, async (_, rank) => {
    for (let round = 0; round < ROUNDS; round++) {
      const group = await initProcessGroup({ ...place, rank, worldSize: RANKS, timeoutMs: 20_000 });
      const sum = Int32Array.of(round + rank);
      await group.allReduce(sum);
      expect(sum[0]).toBe(RANKS * round + 3);
      await group.destroy();
    }
  });
  await Promise.all(ranks);
}

describe("initProcessGroup()", () => {
  it("meets again and again at a file, which is gone at the end", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-again-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    await again({ initMethod: `file://${folder}/store` });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("meets again and again at a store, at a hub of its own, and in memory", async () => {
    await again({ store: new HashStore() });
    await again({ initMethod: `tcp://127.0.0.1:${await freePort()}` });
    await again({ initMethod: "memory://again" });
  });
});
