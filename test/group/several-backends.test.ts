/** Ranks whose calls of one number are for different backends of a group: none waits for another, and the group goes on. */
import { describe, expect, it } from "vitest";
import type { BackendContext } from "../../src/backend/backend.ts";
import { MismatchError, TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";

const errorOf = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).then(
    () => null,
    (error: unknown) => error,
  );

/** A GPUBuffer, as far as anyone looks before a backend does. */
const gpuBuffer = () =>
  ({ mapAsync: async () => {}, usage: 0x8c, mapState: "unmapped", size: 16 }) as unknown as GPUBuffer;

const builtIn = (context: BackendContext) => context.builtIn();

/** Host memory has a backend of its own; calls without tensors have the default one. */
async function withTwoBackends(group: ProcessGroup): Promise<void> {
  await group.registerBackend("cpu", builtIn);
}

/** Of the default backend, and of that of host memory, under one name: an object's collective has no tensor in one of its forms. */
const CALLS: Record<string, (group: ProcessGroup, value: number) => Promise<number>> = {
  "on the default backend": async (group, value) => {
    const all = await group.allGatherObject(value + group.rank);
    return all.reduce((sum, x) => sum + x, 0);
  },
  "on that of host memory": async (group, value) => {
    const tensor = Float64Array.of(value + group.rank);
    await group.allReduce(tensor);
    return tensor[0]!;
  },
};

describe.each(TEST_TRANSPORTS)("several backends of a group, over %s", (transport) => {
  it.each([0, 1, 2, 3])(
    "calls for different ones reject on all ranks, and the group goes on (seed %i)",
    async (seed) => {
      const size = 2 + (seed % 3);
      await withGroup(transport, size, async (group, rank) => {
        await withTwoBackends(group);
        const random = new SeededRandom(seed, "calls");
        for (let round = 0; round < 8; round++) {
          const names = Array.from({ length: size }, () => random.pick(Object.keys(CALLS)));
          const value = 100 * (round + 1);
          const outcome = await CALLS[names[rank]!]!(group, value).catch((error: unknown) => error);
          if (new Set(names).size === 1) expect(outcome).toBe(size * value + (size * (size - 1)) / 2);
          else expect(outcome).toBeInstanceOf(MismatchError);
        }
      });
    },
  );
});

describe("a call for another backend", () => {
  it("of the same name is a MismatchError that names both", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      await withTwoBackends(group);
      // The memory of the first tensor decides: a rank whose list is of another memory takes another backend.
      const other = { buffer: gpuBuffer(), dtype: "f32", count: 4 } as const;
      const error = await errorOf(group.allReduce(rank === 1 ? other : new Float32Array(4)));
      expect(error).toBeInstanceOf(MismatchError);
      expect(String(error)).toMatch(
        /backend differs: rank . called allReduce\(\) on the .*, rank . called allReduce\(\) on the/,
      );
      await group.barrier();
    });
  });

  it("rejects where one rank is refused or sits out, and pairs again", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      await withTwoBackends(group);
      const signal = rank === 2 ? { signal: AbortSignal.abort("enough") } : {};
      expect(String(await errorOf(group.allReduce(new Float32Array(1), signal)))).toMatch(
        /rank 2 does not take part|enough/,
      );
      if (rank === 0) await errorOf(group.allReduce(new Float32Array(1), { op: "nonsense" as "sum" }));
      expect(String(await errorOf(group.barrier()))).toContain("refused before this one differs");
      const tensor = Float32Array.of(rank);
      await group.allReduce(tensor);
      expect(tensor[0]).toBe(3);
    });
  });

  it("names the rank that is missing", async () => {
    let tell: (error: unknown) => void = () => {};
    const outcome = new Promise<unknown>((resolve) => {
      tell = resolve;
    });
    await withMemoryGroups(2, async (group, rank) => {
      await withTwoBackends(group);
      if (rank === 0) tell(await errorOf(group.barrier({ timeoutMs: 100 })));
      expect(await outcome).toBeInstanceOf(TimeoutError);
      expect((await outcome) as TimeoutError).toMatchObject({ missingRanks: [1] });
    });
  });
});
