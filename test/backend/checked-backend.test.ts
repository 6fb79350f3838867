import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, BackendContext, OwnBackend } from "../../src/backend/backend.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup, type Logger, Work } from "../../src/node/index.ts";
import { WHOLE } from "./whole-backend.ts";

let jobs = 0;
let groups: ProcessGroup[] = [];
const lines: string[] = [];
const line = (text: string) => lines.push(text);
const logger: Logger = { error: line, warn: line, info: () => {}, debug: () => {} };

async function open(backend: (context: BackendContext) => OwnBackend, size = 1): Promise<ProcessGroup[]> {
  const options = { initMethod: `memory://checked-${jobs++}`, worldSize: size, backend, logger, timeoutMs: 10_000 };
  groups = await Promise.all(Array.from({ length: size }, (_, rank) => initProcessGroup({ ...options, rank })));
  return groups;
}

afterEach(async () => {
  await Promise.all(groups.splice(0).map((group) => group.destroy()));
  lines.length = 0;
});

/** {@link WHOLE} with other fields, of any type. */
const backendWith = (fields: object) => () => ({ ...WHOLE, ...fields }) as Backend;

describe("a user's backend", () => {
  it("that lacks anything is refused when it is made, with the names of all that it lacks", async () => {
    const names = Object.keys(WHOLE).filter((name) => name !== "name");
    const wrong = fc.constantFrom(undefined, null, 5, "run", {});
    const property = fc.asyncProperty(
      fc.uniqueArray(fc.constantFrom(...names), { minLength: 1 }),
      wrong,
      async (lacks, value) => {
        const given = { ...WHOLE, ...Object.fromEntries(lacks.map((name) => [name, value])) } as Backend;
        const named = names.filter((name) => lacks.includes(name)).join(", ");
        await expect(open(() => given)).rejects.toThrow(`backend "own" lacks ${named}: `);
      },
    );
    await fc.assert(property, { numRuns: 30 });
  });

  it.each([
    ["undefined", undefined, "undefined is none"],
    ["a promise", Promise.resolve(WHOLE), "a promise is none: return it at once"],
    ["a name", "nccl", "the string nccl is none"],
    ["no name", { ...WHOLE, name: "" }, "the backend lacks name"],
  ])("that is %s is refused", async (_what, given, says) => {
    await expect(open(() => given as Backend)).rejects.toThrow(says);
    const [group] = (await open((context) => context.builtIn())) as [ProcessGroup];
    const make = () => given as Backend;
    await expect(group.registerBackend("cpu", make)).rejects.toThrow(says);
    await expect(group.newGroup([0], { backend: make })).rejects.toThrow(says);
    await expect(group.split(0, 0, { backend: make })).rejects.toThrow(says);
    await group.barrier();
  });

  it("that returns something else than a promise, a Work or undefined is told at the call", async () => {
    const values = [null, 5, "done", true, {}, [1], () => {}];
    for (const value of values) {
      const [group] = (await open(backendWith({ run: () => value }))) as [ProcessGroup];
      await expect(group.barrier()).rejects.toThrow(
        /backend "own": run returned .* for barrier: a promise or a Work is needed/,
      );
      await group.destroy();
    }
    const [group] = (await open(backendWith({ run: () => Work.fromPromise(Promise.resolve()) }))) as [ProcessGroup];
    await group.barrier();
  });

  it("that ends a call on objects without the objects is told at the call", async () => {
    for (const run of [() => undefined, async () => undefined]) {
      const [group] = (await open(backendWith({ run }))) as [ProcessGroup];
      const says = 'backend "own": run ended ';
      await expect(group.allGatherObject(1)).rejects.toThrow(`${says}allGatherObject without the bytes of rank 0`);
      await expect(group.split(0)).rejects.toThrow(`${says}split without`);
      await group.destroy();
    }
  });

  it("whose other methods throw or return nonsense does no harm outside its Works", async () => {
    const broken = () => {
      throw new Error("broken");
    };
    const run = () => new Promise<undefined>(() => {});
    const [group] = (await open(
      backendWith({
        run,
        sitOut: broken,
        withdraw: broken,
        abort: broken,
        dispose: broken,
        stragglers: () => "rank 1",
      }),
    )) as [ProcessGroup];
    await expect(group.barrier({ signal: AbortSignal.abort("no") })).rejects.toThrow("no");
    await expect(group.barrier({ timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT", missingRanks: [] });
    await group.destroy();
    expect(lines.map((text) => /backend "own": (\w+) threw broken/.exec(text)?.[1]).filter(Boolean)).toEqual([
      "sitOut",
      "abort",
      "dispose",
    ]);
  });

  it("by methods has the collectives for which there is one, and refuses the others by name", async () => {
    const { run: _, ...rest } = WHOLE;
    const seen: string[] = [];
    const make = (): OwnBackend => ({
      ...rest,
      name: "few",
      allReduce: ({ tensor, op }) => {
        seen.push(`${tensor.dtype} ${tensor.count} ${op.name}`);
        return undefined;
      },
    });
    const [group] = (await open(make)) as [ProcessGroup];
    await group.allReduce(new Float64Array(3), { op: "max" });
    await group.allReduceCoalesced([new Int8Array(1), new Int8Array(2)]);
    expect(seen).toEqual(["f64 3 max", "i8 1 sum", "i8 2 sum"]);
    expect(group.sequence).toBe(3);
    await expect(group.barrier()).rejects.toThrow("Backend few does not support barrier");
    await expect(group.send(new Int8Array(1), 0)).rejects.toThrow(RangeError);
    await expect(open(() => rest as Backend)).rejects.toThrow('backend "own" lacks run: ');
  });

  it("is what getBackend() gives", async () => {
    const [group] = (await open(() => WHOLE)) as [ProcessGroup];
    expect(group.getBackend("cpu")).toBe(WHOLE);
    const other = { ...WHOLE, name: "other" };
    await group.registerBackend("webgpu", () => other);
    expect([group.getBackend("webgpu"), group.getBackend("cpu")]).toEqual([other, WHOLE]);
  });

  it("gives each single call that stands for a coalesced one a number of its own, also where a rank sits it out", async () => {
    const lacks = ["allReduceCoalesced"] as const;
    const members = await open((context) => {
      const inner = context.builtIn();
      return {
        ...{ name: "singles", lacks, run: (...args) => inner.run(...args), sitOut: (...args) => inner.sitOut(...args) },
        ...{ stragglers: (n) => inner.stragglers(n), withdraw: (n, reason) => inner.withdraw(n, reason) },
        ...{ abort: (cause) => inner.abort(cause), dispose: () => inner.dispose() },
      };
    }, 3);
    const tensors = members.map((_, rank) => [
      Int32Array.of(rank),
      Float32Array.of(0.5),
      new Int32Array(70_000).fill(1),
    ]);
    const coalesced = (rank: number, signal?: AbortSignal) =>
      members[rank]!.allReduceCoalesced(tensors[rank]!, signal ? { signal } : {});
    const outcomes = await Promise.allSettled([coalesced(0), coalesced(1, AbortSignal.abort("no")), coalesced(2)]);
    expect(outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason.code)).toEqual([
      "MISMATCH",
      "ABORTED",
      "MISMATCH",
    ]);
    await Promise.all(members.map((_, rank) => coalesced(rank)));
    await Promise.all(members.map((group) => group.barrier()));
    for (const [rank, list] of tensors.entries()) {
      expect(
        list.map((tensor) => tensor.at(-1)),
        `rank ${rank}`,
      ).toEqual([3, 1.5, 3]);
    }
    expect(members.map(({ sequence }) => sequence)).toEqual([7, 7, 7]);
  });
});
