/** Persistent calls: what a making and its starts promise, over every transport. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { AbortedError, MismatchError, TimeoutError } from "../../src/errors.ts";
import { PERSISTENT_COLLECTIVES, type PersistentCall } from "../../src/group/persistent-call.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import type { WorkInfo } from "../../src/group/work.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";

const failureOf = (call: PromiseLike<unknown>): Promise<Error | null> =>
  Promise.resolve(call).then(
    () => null,
    (error) => error,
  );

/** The group's next call is right. */
async function expectWhole(group: ProcessGroup): Promise<void> {
  const ones = Int32Array.of(1, 1);
  await group.allReduce(ones);
  expect([...ones]).toEqual([group.size, group.size]);
}

describe.each(TEST_TRANSPORTS)("a persistent call over %s", (transport) => {
  it("reduces the elements that the tensor has at each start", async () => {
    await withGroup(transport, 3, async (group, rank) => {
      const tensor = new Float64Array(5);
      const call = group.persistent.allReduce(tensor);
      await call.ready;
      expect([...tensor]).toEqual([0, 0, 0, 0, 0]);
      for (let start = 0; start < 20; start++) {
        tensor.fill(start + rank);
        await call.start();
        expect([...tensor]).toEqual(new Array(5).fill(3 * start + 3));
      }
      call.free();
    });
  });

  it.each([
    ["dtype", (_: ProcessGroup, rank: number) => [rank === 1 ? new Int32Array(4) : new Float32Array(4), {}] as const],
    ["count", (_: ProcessGroup, rank: number) => [new Float32Array(rank === 1 ? 5 : 4), {}] as const],
    [
      "reduce op",
      (_: ProcessGroup, rank: number) => [new Float32Array(4), { op: rank === 1 ? "max" : "sum" }] as const,
    ],
  ])("names the %s that differs at its making, and no start runs", async (field, argumentsOf) => {
    const errors = await withGroup(transport, 3, async (group, rank) => {
      const [tensor, options] = argumentsOf(group, rank);
      tensor.fill(7);
      const call = group.persistent.allReduce(tensor, options as never);
      const error = await failureOf(call.ready);
      expect(error).toBeInstanceOf(MismatchError);
      expect(error!.message).toContain(`${field} differs`);
      expect(error!.message).toContain("of persistent call 1");
      expect(await failureOf(call.start())).toBeInstanceOf(MismatchError);
      expect([...tensor]).toEqual([...tensor].map(() => 7));
      await expectWhole(group);
      return error!.message;
    });
    expect(new Set(errors).size).toBe(1);
  });

  it("finds starts in a different order, and pairs none of them", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const [a, b] = [Int32Array.of(1), Int32Array.of(10)];
      const calls = [group.persistent.allReduce(a), group.persistent.allReduce(b)] as const;
      await Promise.all(calls.map(({ ready }) => ready));
      for (const index of [0, 1]) {
        const error = await failureOf(calls[rank === 0 ? index : 1 - index]!.start());
        expect(error).toBeInstanceOf(MismatchError);
        expect(error!.message).toMatch(/persistent call differs: rank 0 called .* of persistent call [12], rank 1/);
      }
      expect([a[0], b[0]]).toEqual([1, 10]);
      await Promise.all(calls.map((call) => call.start()));
      expect([a[0], b[0]]).toEqual([2, 20]);
      await expectWhole(group);
    });
  });

  it("finds a start beside the same call that is none, and beside a making", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const tensor = Int32Array.of(3);
      const call = group.persistent.allReduce(tensor);
      await call.ready;
      const works = [
        () => (rank === 0 ? call.start() : group.allReduce(tensor)),
        () => (rank === 0 ? call.start() : group.persistent.allReduce(tensor).ready),
        () => (rank === 0 ? group.allReduce(tensor) : group.persistent.allReduce(tensor).ready),
      ];
      for (const work of works) {
        const error = await failureOf(work());
        expect(error).toBeInstanceOf(MismatchError);
        expect(error!.message).toContain("persistent call differs");
      }
      expect(tensor[0]).toBe(3);
      await expectWhole(group);
    });
  });

  it("is refused on one rank while its start before runs, and after free: the others' starts reject", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const tensor = Int32Array.of(1);
      const call = group.persistent.allReduce(tensor);
      await call.ready;
      if (rank === 0) {
        const first = call.start();
        // Rank 1 starts when it has this, so the first start cannot have ended.
        const second = call.start();
        await group.send(Int32Array.of(0), 1);
        expect((await failureOf(second))!.message).toMatch(/persistent allReduce 1 is still running/);
        expect(second.exception()).toBeInstanceOf(TypeError);
        await first;
        call.free();
        call.free();
        const late = await failureOf(call.start());
        expect(late).toBeInstanceOf(TypeError);
        expect(late!.message).toContain("was freed");
      } else {
        await group.recv(new Int32Array(1), 0);
        await call.start();
        for (const reason of [/still running/, /freed/]) {
          const error = await failureOf(call.start());
          expect(error).toBeInstanceOf(MismatchError);
          expect(error!.message).toMatch(reason);
        }
      }
      expect(tensor[0]).toBe(2);
      await expectWhole(group);
    });
  });

  it("lets a start that runs end after free", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const tensor = Int32Array.of(rank + 1);
      const call = group.persistent.allReduce(tensor);
      if (rank === 1) await group.recv(new Int32Array(1), 0);
      const work = call.start();
      call.free();
      if (rank === 0) await group.send(Int32Array.of(0), 1);
      await work;
      expect(tensor[0]).toBe(3);
    });
  });
});

describe("a persistent call", () => {
  it("may be any of the collectives that have tensors, and is told of by its opType", async () => {
    await withMemoryGroups(1, async (group) => {
      expect(Object.keys(group.persistent)).toEqual([...PERSISTENT_COLLECTIVES]);
      expect(group.persistent).toBe(group.persistent);
      const call = group.persistent.reduceScatterTensor(new Float32Array(2), new Float32Array(2));
      expect(call.ready.opType).toBe("_REDUCE_SCATTER_BASE");
      expect(call.start().opType).toBe("_REDUCE_SCATTER_BASE");
    });
  });

  it("has an owner of its tensors only while a start runs", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const tensor = Int32Array.of(1, 2);
      const call = group.persistent.allReduce(tensor);
      const other = group.persistent.broadcast(tensor.subarray(1), { root: 0 });
      await Promise.all([call.ready, other.ready]);
      if (rank === 0) {
        const first = call.start();
        const error = await failureOf(other.start());
        expect(error!.message).toMatch(/broadcast 4.*shares bytes.*allReduce 3/);
        await group.send(tensor.slice(), 1);
        await first;
      } else {
        await group.recv(new Int32Array(2), 0);
        await call.start();
        expect(await failureOf(other.start())).toBeInstanceOf(MismatchError);
      }
      await Promise.all([call.start(), group.barrier()]);
      await other.start();
      expect([...tensor]).toEqual([4, 8]);
    });
  });

  it("rejects at the making and at every start for a wrong argument, and nothing is lost", async () => {
    await withMemoryGroups(2, async (group) => {
      const wrong: readonly (readonly [RegExp, () => PersistentCall])[] = [
        [/typed array/, () => group.persistent.allReduce([1] as never)],
        [/unknown option opp.*op/, () => group.persistent.allReduce(new Float32Array(1), { opp: "sum" } as never)],
        [/root/, () => group.persistent.broadcast(new Float32Array(1), { root: 2 })],
        [/timeoutMs/, () => group.persistent.barrier({ timeoutMs: -1 })],
        [/algorithm "best"/, () => group.persistent.allReduce(new Float32Array(1), { algorithm: "best" })],
      ];
      for (const [words, make] of wrong) {
        const call = make();
        const error = await failureOf(call.ready);
        expect(error!.message).toMatch(words);
        expect(await failureOf(call.start())).toBe(error);
        call.free();
      }
      await group.barrier();
      await expectWhole(group);
    });
  });

  it("refuses a start whose tensor's buffer was detached", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const tensor = new Float32Array(4);
      const call = group.persistent.allReduce(tensor);
      await call.start();
      if (rank === 1) structuredClone(tensor, { transfer: [tensor.buffer] });
      const error = await failureOf(call.start());
      if (rank === 1) expect(error).toBeInstanceOf(TypeError);
      expect(error!.message).toMatch(/buffer of a tensor was detached/);
      await expectWhole(group);
    });
  });

  it("keeps the lists and the views that it was made with", async () => {
    await withMemoryGroups(2, async (group) => {
      const [first, second] = [Int32Array.of(1), Int32Array.of(2)];
      const list = [first];
      const named = { data: second, dtype: "i32" as const };
      const calls = [group.persistent.allReduceCoalesced(list), group.persistent.allReduce(named)];
      list[0] = new Int32Array(9);
      named.data = new Int32Array(9);
      for (const call of calls) await call.start();
      expect([first[0], second[0]]).toEqual([2, 4]);
    });
  });

  it("starts within coalesce beside other calls, and is not fused with them", async () => {
    await withMemoryGroups(2, async (group) => {
      const [a, b, c] = [Int32Array.of(1), Int32Array.of(2), Int32Array.of(3)];
      const call = group.persistent.allReduce(a);
      await group
        .coalesce(() => {
          call.start();
          group.allReduce(b);
          group.allReduce(c);
          expect(call.start().isCompleted()).toBe(false);
        })
        .then(
          () => expect.unreachable("the second start of one call must be refused"),
          (error) => expect(String(error)).toMatch(/still running/),
        );
      await group.coalesce(() => {
        call.start();
        group.allReduce(b);
      });
      expect([a[0], b[0], c[0]]).toEqual([4, 8, 6]);
    });
  });

  it("tells the completion hooks of its making and of every start", async () => {
    await withMemoryGroups(1, async (group) => {
      const infos: WorkInfo[] = [];
      group.onCompletion((info) => infos.push(info));
      const call = group.persistent.barrier();
      for (let start = 0; start < 3; start++) await call.start();
      expect(infos.map(({ opType, sequence }) => `${opType} ${sequence}`)).toEqual(
        [1, 2, 3, 4].map((n) => `BARRIER ${n}`),
      );
    });
  });

  it("ends the group at the time limit and by the signal that it was made with", async () => {
    const errors = await withMemoryGroups(2, async (group, rank) => {
      const child = (await group.newGroup([0, 1]))!;
      const call = child.persistent.barrier({ timeoutMs: 30 });
      await call.ready;
      const timedOut = rank === 0 ? await failureOf(call.start()) : null;
      const other = (await group.newGroup([0, 1]))!;
      const controller = new AbortController();
      const abortable = other.persistent.barrier({ signal: controller.signal });
      await abortable.ready;
      const work = rank === 0 ? abortable.start() : null;
      controller.abort("enough");
      const aborted = work && (await failureOf(work));
      const before = rank === 1 ? await failureOf(abortable.start()) : null;
      await Promise.all([child.destroy(), other.destroy()]);
      return { timedOut, aborted, before };
    });
    expect(errors[0]!.timedOut).toBeInstanceOf(TimeoutError);
    expect((errors[0]!.timedOut as TimeoutError).missingRanks).toEqual([1]);
    expect(errors[0]!.aborted).toBeInstanceOf(AbortedError);
    expect(errors[1]!.before).toBeInstanceOf(AbortedError);
  });

  it("rejects after the group has died, with the cause", async () => {
    await withMemoryGroups(2, async (group) => {
      const child = (await group.newGroup([1, 0]))!;
      const call = child.persistent.allReduce(new Float32Array(2));
      await call.start();
      child.abort("for a test");
      const error = await failureOf(call.start());
      expect(error).toBeInstanceOf(AbortedError);
      expect(error!.message).toContain("for a test");
      await child.destroy();
    });
  });

  it("is an ordinary call each time on a backend that has none of its own", async () => {
    const calls: string[] = [];
    const local: Backend = {
      name: "local",
      run: ({ collective }, { sequence, persistent }) => {
        calls.push(`${collective} ${sequence} of ${persistent}`);
        return Promise.resolve(undefined);
      },
      stragglers: () => Promise.resolve([]),
      withdraw: () => false,
      abort() {},
      sitOut() {},
      dispose: () => Promise.resolve(),
    };
    await withMemoryGroups(
      1,
      async (group) => {
        const call = group.persistent.allReduce(new Float32Array(1));
        await call.start();
        await call.start();
      },
      { backend: () => local },
    );
    expect(calls).toEqual(["allReduce 2 of 1", "allReduce 3 of 1"]);
  });

  it("gives what plain calls give, in any mixture of makings, starts and plain calls", {
    timeout: 60_000,
  }, async () => {
    const step = fc.record({ call: fc.nat(3), kind: fc.constantFrom("start", "plain", "make"), waits: fc.boolean() });
    const plan = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      counts: fc.array(fc.nat(40), { minLength: 4, maxLength: 4 }),
      deterministic: fc.boolean(),
      transport: fc.constantFrom(...TEST_TRANSPORTS),
      steps: fc.array(step, { maxLength: 25 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ size, counts, deterministic, transport, steps }) => {
        await withGroup(
          transport,
          size,
          async (group, rank) => {
            const tensors = counts.map((count) => new Float64Array(count).fill(rank + 1));
            const expected = counts.map(() => rank + 1);
            const calls: PersistentCall[] = tensors.map((tensor) => group.persistent.allReduce(tensor, { op: "max" }));
            const last: PromiseLike<unknown>[] = [];
            for (const { call, kind, waits } of steps) {
              await last[call];
              if (kind === "make") calls[call] = group.persistent.allReduce(tensors[call]!, { op: "max" });
              else {
                last[call] = kind === "start" ? calls[call]!.start() : group.allReduce(tensors[call]!, { op: "max" });
                expected[call] = size;
                if (waits) await last[call];
              }
            }
            await Promise.all([...last, ...calls.map(({ ready }) => ready)]);
            for (const [i, tensor] of tensors.entries())
              expect([...tensor]).toEqual(new Array(counts[i]).fill(expected[i]));
          },
          { deterministic },
        );
      }),
      { numRuns: 25 },
    );
  });
});
