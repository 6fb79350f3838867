/**
 * Composed calls that nobody awaits, beside each other and beside plain collectives: whatever order the ranks' timing gives, no call has a
 * value of another one. What goes wrong within a turn on one rank is told to the others.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import {
  broadcastCoalesced,
  decodeSafetensors,
  gatherCheckpoint,
  loadCheckpoint,
  ShardedOptimizer,
} from "../../src/ddp/index.ts";
import { MismatchError, TimeoutError, WebcclError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { inTurn } from "../../src/group/turns.ts";
import * as nn from "../../src/nn/index.ts";
import { runColumnParallel, runRowParallel } from "../../src/ort/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { withGroup, withMemoryGroups } from "../conformance/harness.ts";
import { ort } from "../ort/session.ts";
import { type Call, COMPOSED, floatTensor, PLAIN, pause, sessionOf } from "./drawn-calls.ts";

const errorOf = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).then(
    () => null,
    (error: unknown) => error,
  );

/** Makes the calls, each after a pause of this rank's own, and awaits them in the end. Each has its own value or rejects. */
async function runDrawn(group: ProcessGroup, calls: readonly Call[], seed: number): Promise<unknown[]> {
  const own = new SeededRandom(seed, `pauses of rank ${group.rank}`);
  const works: Promise<{ given?: unknown; expected?: unknown; error?: unknown }>[] = [];
  for (const [i, call] of calls.entries()) {
    await pause(own.below(4));
    works.push(
      call(group, 1000 * (i + 1), own.below(6)).then(
        ([given, expected]) => ({ given, expected }),
        (error: unknown) => ({ error }),
      ),
    );
  }
  const ends = await Promise.all(works);
  for (const { given, expected, error } of ends) if (error === undefined) expect(given).toEqual(expected);
  return ends.map(({ error }) => error);
}

const drawnFrom = (table: Record<string, Call>, seed: number, count: number): Call[] => {
  const random = new SeededRandom(seed, "calls");
  const list = Object.values(table);
  return Array.from({ length: count }, () => list[random.below(list.length)] as Call);
};

const SEEDS = { memory: 12, websocket: 8 } as const;

describe.each(["memory", "websocket"] as const)("composed calls that nobody awaits, over %s", (transport) => {
  const seeds = Array.from({ length: SEEDS[transport] }, (_, seed) => seed);

  it.each(seeds)("have their own values, whatever the timing of the ranks (seed %i)", async (seed) => {
    await withGroup(transport, 2 + (seed % 2), async (group) => {
      const ends = await runDrawn(group, drawnFrom(COMPOSED, seed, 7), seed);
      expect(ends).toEqual(ends.map(() => undefined));
      await group.barrier();
    });
  });

  it.each(seeds)("never have a value of a plain call, nor the plain call one of theirs (seed %i)", async (seed) => {
    await withGroup(
      transport,
      2,
      async (group) => {
        // `runDrawn` compares the values. A rank whose calls failed earlier than the other's makes fewer, and the other may lose it.
        const ends = await runDrawn(group, drawnFrom({ ...COMPOSED, ...PLAIN }, seed, 8), seed);
        for (const error of ends) if (error !== undefined) expect(error).toBeInstanceOf(WebcclError);
      },
      { timeoutMs: 2000 },
    );
  });
});

describe("a turn", () => {
  it("refuses memory that a pending Work has, at the call, and tells the others", async () => {
    const calls: Record<string, (group: ProcessGroup, x: Float32Array) => Promise<unknown>> = {
      "nn.allReduce": (group, x) => nn.allReduce(group, x),
      "nn.allToAll": (group, x) => nn.allToAll(group, [x, x]),
      broadcastCoalesced: (group, x) => broadcastCoalesced(group, [x]),
      gatherCheckpoint: (group, x) => gatherCheckpoint(group, { [group.rank]: { tensor: x, shape: [x.length] } }),
      ShardedOptimizer: (group, x) => {
        const parameters = [{ tensor: new Float32Array(x.length), shape: [x.length] }];
        const rule = { initialState: () => 0, update: () => {} };
        return new ShardedOptimizer({ group, parameters, rule }).step([x]);
      },
    };
    for (const [name, call] of Object.entries(calls)) {
      await withGroup("websocket", 2, async (group) => {
        const x = new Float32Array(1 << 16).fill(group.rank + 1);
        const running = group.allReduce(x);
        expect(String(await errorOf(call(group, x))), name).toMatch(
          /TypeError.*shares bytes .* allReduce 1, which is still/,
        );
        await running;
        expect(x[x.length - 1]).toBe(3);
      });
    }
  });

  it("keeps the memory of a composed call from plain calls until it has ended", async () => {
    await withMemoryGroups(2, async (group) => {
      const x = Float32Array.of(group.rank);
      const composed = nn.allReduce(group, x);
      expect(String(await errorOf(group.allReduce(x)))).toMatch(/TypeError.*shares bytes .* nn.allReduce/);
      expect((await composed)[0]).toEqual(Float32Array.of(1));
      await group.allReduce(x);
      expect(x).toEqual(Float32Array.of(1));
    });
  });

  it.each(["nn.allReduce", "a pullback", "broadcastCoalesced"])(
    "tells the others where a buffer was transferred away before it came: %s",
    async (name) => {
      await withMemoryGroups(2, async (group, rank) => {
        const [, pullback] = await nn.allReduce(group, Float32Array.of(1));
        const x = Float32Array.of(rank + 1);
        const works: Record<string, () => Promise<unknown>> = {
          "nn.allReduce": () => nn.allReduce(group, x),
          "a pullback": () => pullback(x),
          broadcastCoalesced: () => broadcastCoalesced(group, [x], { root: 1 }),
        };
        const work = works[name]!();
        if (rank === 1) structuredClone(x, { transfer: [x.buffer] });
        if (rank === 1) expect(String(await errorOf(work))).toMatch(/detached|elements/);
        // Another call, which looks like the one that rank 0 waits for.
        const other = rank === 1 ? group.allReduce(Float32Array.of(100)) : work;
        expect(await errorOf(other)).toBeInstanceOf(MismatchError);
        await group.barrier();
      });
    },
  );

  it("reads the lists of the caller at the call", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const lists = [0, 1, 2].map(() => [Float32Array.of(rank), Float32Array.of(10 + rank)]);
      const works = [
        nn.allToAll(group, lists[0]!),
        nn.reduceScatter(group, lists[1]!),
        rank === 0
          ? nn.scatter(group, lists[2]!)
          : nn.scatter(group, null, { like: Float32Array.of(0) }).then(([y]) => [y]),
      ];
      for (const list of lists) list.length = 0;
      const [exchanged, scattered, [own]] = (await Promise.all(works)) as [unknown[], unknown[], Float32Array[]];
      expect(exchanged[0]).toEqual([Float32Array.of(10 * rank), Float32Array.of(10 * rank + 1)]);
      expect(scattered[0]).toEqual(Float32Array.of(20 * rank + 1));
      expect(own).toEqual(Float32Array.of(10 * rank));
    });
  });

  it("tells the others where a completion hook fails between two collectives", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      let calls = 0;
      group.onCompletion(() => {
        if (rank === 1 && calls++ === 0) throw new Error("the hook's");
      });
      const first = await errorOf(nn.allReduce(group, Float32Array.of(rank), { op: "max" }));
      if (rank === 1) {
        expect(String(first)).toBe("Error: the hook's");
        expect(await errorOf(group.allReduce(new Int32Array(1), { op: "max" }))).toBeInstanceOf(MismatchError);
      } else {
        expect(first).toBeInstanceOf(MismatchError);
      }
      await group.barrier();
    });
  });

  it("runs composed calls that the code of a session makes at once", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const leaf = sessionOf(async () => floatTensor(rank + 1));
      const outer = sessionOf(() => runColumnParallel(group, leaf, {}, { Tensor: ort.Tensor }));
      const { y } = await runRowParallel(group, outer, {});
      expect([...(y.data as Float32Array)]).toEqual([2, 4]);
    });
  });

  it("ends the group where a session waits for its own turn", async () => {
    await withMemoryGroups(
      2,
      async (group, rank) => {
        const leaf = sessionOf(async () => floatTensor(rank + 1));
        const outer = sessionOf(async () => {
          await pause(1);
          return runColumnParallel(group, leaf, {}, { Tensor: ort.Tensor });
        });
        const error = await errorOf(runRowParallel(group, outer, {}));
        expect(error).toBeInstanceOf(TimeoutError);
        expect(String(error)).toMatch(/the run of the session has not returned.*waits for itself/);
      },
      { timeoutMs: 300 },
    );
  });

  it("keeps no result", async () => {
    const [group] = await withMemoryGroups(1, async (one) => one);
    let result: WeakRef<object> | undefined;
    await (async () => {
      const big = await inTurn(
        group!,
        "checkpoint",
        () => {},
        async () => new Float32Array(1 << 20),
      );
      result = new WeakRef(big);
    })();
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let i = 0; i < 20 && result?.deref(); i++) {
      await pause(2);
      collect();
    }
    expect(result?.deref()).toBeUndefined();
  });

  it("decodes nothing else than its own file", async () => {
    // A checkpoint after a failed one: all ranks are in step again.
    await withMemoryGroups(3, async (group, rank) => {
      if (rank === 2) await errorOf(group.broadcast(new Float32Array(1), { root: 9 }));
      expect(await errorOf(loadCheckpoint(group, rank === 0 ? new Uint8Array(3) : null))).toBeInstanceOf(MismatchError);
      const own = rank === 1 ? { a: { tensor: Float32Array.of(7), shape: [1] } } : {};
      const file = await gatherCheckpoint(group, own);
      if (file) expect(decodeSafetensors(file).tensors.get("a")?.tensor).toEqual(Float32Array.of(7));
      await group.barrier();
    });
  });
});
