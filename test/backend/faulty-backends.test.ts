/** Backends of users that break the contract in every way: their faults end in the call or in the log, never in another place, and the group ends. */
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import type { Backend, BackendContext, OwnBackend } from "../../src/backend/backend.ts";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup, type Logger, Work } from "../../src/node/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";
import { WHOLE } from "./whole-backend.ts";

const lines: string[] = [];
const line = (text: string) => lines.push(text);
const logger: Logger = { error: line, warn: line, info: () => {}, debug: () => {} };
afterEach(() => {
  lines.length = 0;
});

const never = () => new Promise<never>(() => {});
const thrower = (): never => {
  throw new Error("the fault");
};
class ThrowingWork extends Work<number | undefined> {
  override wait(): Promise<number | undefined> {
    return thrower();
  }
}

/** Members of a backend, and what its allReduce comes to. */
const FAULTS: Readonly<Record<string, readonly [fields: object, call: RegExp]>> = {
  "run throws": [{ run: thrower }, /the fault/],
  "run throws text": [
    {
      run: () => {
        throw "the fault";
      },
    },
    /the fault/,
  ],
  "run rejects with nothing": [{ run: () => Promise.reject(undefined) }, /^Error: undefined/],
  "run gives a number": [{ run: () => 5 }, /run returned the number 5/],
  "run gives an object": [{ run: () => ({}) }, /run returned an object of class Object/],
  // biome-ignore lint/suspicious/noThenProperty: that is the fault
  "run gives a thenable that throws": [{ run: () => ({ then: thrower }) }, /the fault/],
  "run gives a thenable that answers twice": [
    {
      run: () => ({
        // biome-ignore lint/suspicious/noThenProperty: that is the fault
        then: (done: (value: undefined) => void, failed: (error: Error) => void) => {
          done(undefined);
          failed(new Error("no more"));
        },
      }),
    },
    /^ended$/,
  ],
  "run gives a Work whose wait throws": [{ run: () => new ThrowingWork() }, /the fault/],
  "run never ends": [{ run: never }, /did not end within 200 ms/],
  "stragglers throws": [{ run: never, stragglers: thrower }, /did not end within 200 ms/],
  "stragglers gives no list": [{ run: never, stragglers: () => 5 }, /did not end within 200 ms/],
  "stragglers never ends": [{ run: never, stragglers: never }, /did not end within 200 ms/],
  "abort throws": [{ run: never, abort: thrower }, /did not end within 200 ms/],
  "dispose throws": [{ dispose: thrower }, /^ended$/],
  "dispose rejects": [{ dispose: () => Promise.reject(new Error("the fault")) }, /^ended$/],
  "dispose never ends": [{ dispose: never }, /^ended$/],
  "persist gives an object": [{ persist: () => ({}) }, /^ended$/],
  "traffic throws": [
    {
      get traffic() {
        return thrower();
      },
    },
    /^ended$/,
  ],
  "waitingFor throws": [{ run: never, waitingFor: thrower }, /did not end within 200 ms/],
};

const outcomeOf = (call: PromiseLike<unknown>) =>
  Promise.resolve(call).then(
    () => "ended",
    (error) => String(error),
  );

describe("a user's backend whose", () => {
  it.each(Object.keys(FAULTS))("%s: the call says so, the memory is free again, and the group ends", async (name) => {
    const [fields, expected] = FAULTS[name]!;
    const stray: unknown[] = [];
    const onStray = (error: unknown) => stray.push(error);
    process.on("unhandledRejection", onStray);
    onTestFinished(() => void process.off("unhandledRejection", onStray));
    const given = Object.defineProperties({ ...WHOLE }, Object.getOwnPropertyDescriptors(fields)) as Backend;
    const options = {
      initMethod: `memory://faulty-${Object.keys(FAULTS).indexOf(name)}`,
      worldSize: 1,
      rank: 0,
      timeoutMs: 200,
      logger,
    } as const;
    const group = await initProcessGroup({ ...options, backend: () => given });
    const tensor = new Float32Array(2);
    const running = outcomeOf(group.allReduce(tensor));
    await group.dumpTrace();
    await group.stats();
    expect(await running).toMatch(expected);
    if (name.startsWith("persist")) {
      const call = group.persistent.allReduce(tensor);
      expect(await outcomeOf(call.ready)).toMatch(/persist must return \{ made, start \}/);
      await outcomeOf(call.start());
    }
    // What runs no more claims no memory.
    expect(await outcomeOf(group.allReduce(tensor))).not.toMatch(/shares bytes/);
    await group.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    expect(stray).toEqual([]);
  });

  it("lacks is no list is refused when it is made", async () => {
    const options = { initMethod: "memory://faulty-lacks", worldSize: 1, rank: 0, logger };
    const backend = () => ({ ...WHOLE, lacks: "scan" }) as unknown as Backend;
    await expect(initProcessGroup({ ...options, backend })).rejects.toThrow(/lacks must be a list of collectives/);
    // Of a group that could not be made nobody says that the program has not left it.
    process.emit("beforeExit", 0);
    expect(lines).toEqual([]);
  });
});

/** The group's own backend, counted. */
function counted(log: { disposed: number }): (context: BackendContext) => OwnBackend {
  return (context) => {
    const inner = context.builtIn();
    return {
      name: "counted",
      run: (request, call) => inner.run(request, call),
      sitOut: (...given) => inner.sitOut(...given),
      stragglers: (sequence) => inner.stragglers(sequence),
      withdraw: (...given) => inner.withdraw(...given),
      abort: (cause) => inner.abort(cause),
      dispose: () => {
        log.disposed++;
        return inner.dispose();
      },
    };
  };
}

const random = new SeededRandom(16, "faulty backends");

describe.each([...TEST_TRANSPORTS])("registerBackend() over %s", (transport) => {
  it("registers on all ranks or on none, whichever rank's backend cannot be made, and may be called again", async () => {
    const size = 3;
    const failing = Array.from({ length: 3 }, () => ({ rank: random.u32() % size, late: random.u32() % 2 === 0 }));
    const logs = Array.from({ length: size }, () => ({ disposed: 0 }));
    await withGroup(transport, size, async (group, rank) => {
      const make = counted(logs[rank]!);
      const sum = async () => {
        const tensor = new Float32Array(3).fill(1);
        await group.allReduce(tensor);
        expect([...tensor]).toEqual([3, 3, 3]);
      };
      for (const fault of failing) {
        const call = group.registerBackend("cpu", (context) => {
          if (rank !== fault.rank) return make(context);
          if (fault.late) context.builtIn();
          return thrower();
        });
        await expect(call).rejects.toThrow(rank === fault.rank ? "the fault" : MismatchError);
        await sum();
      }
      await group.registerBackend("cpu", make);
      expect(group.getBackend("cpu").name).toBe("counted");
      await sum();
      await expect(group.registerBackend("cpu", make)).rejects.toThrow(/registered for cpu already/);
    });
    const made = (rank: number) => 1 + failing.filter((fault) => fault.rank !== rank).length;
    expect(logs.map(({ disposed }) => disposed)).toEqual([0, 1, 2].map(made));
  });

  it("leaves a receive that began before it to be withdrawn", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const controller = new AbortController();
      const waiting = rank === 0 ? group.recv(new Float32Array(1), 1, { signal: controller.signal }) : null;
      const outcome = waiting && outcomeOf(waiting);
      await group.registerBackend("webgpu", (context) => context.builtIn());
      controller.abort("enough");
      if (outcome) expect(await outcome).toMatch(/AbortedError.*enough/);
      await group.barrier();
    });
  });
});

describe.each([...TEST_TRANSPORTS])("newGroup() over %s", (transport) => {
  it("whose backend cannot be made on one rank tells the others, whichever rank it is", async () => {
    const size = 3;
    const faults = Array.from({ length: 2 }, () => ({ rank: random.u32() % size, late: random.u32() % 2 === 0 }));
    await withGroup(transport, size, async (group, rank) => {
      for (const fault of faults) {
        const backend = (context: BackendContext) => {
          const inner = rank !== fault.rank || fault.late ? context.builtIn() : null;
          return rank === fault.rank ? thrower() : inner!;
        };
        const made = group.newGroup([0, 1, 2], { backend });
        if (rank === fault.rank) {
          await expect(made).rejects.toThrow("the fault");
        } else {
          const child = (await made)!;
          const failure = await outcomeOf(child.barrier());
          expect(failure).toContain(`rank ${fault.rank} aborted it: its backend could not be made: the fault`);
          await child.destroy();
        }
        await group.barrier();
      }
      expect((await group.dumpTrace()).groups.filter(({ left }) => !left).length).toBe(1);
    });
  });
});

describe("registerBackend()", () => {
  it("disposes of what it made for a group that is dead or left", async () => {
    const log = { disposed: 0 };
    const ends = [(group: ProcessGroup) => group.abort("enough"), (group: ProcessGroup) => group.destroy()];
    for (const end of ends) {
      await withMemoryGroups(1, async (group) => {
        await end(group);
        await expect(group.registerBackend("cpu", counted(log))).rejects.toThrow(/enough|destroyed/);
      });
    }
    expect(log.disposed).toBe(ends.length);
  });

  it("takes one of two that are registered at once for a device, and a device that there is", async () => {
    await withMemoryGroups(2, async (group) => {
      const make = counted({ disposed: 0 });
      const both = await Promise.allSettled([group.registerBackend("cpu", make), group.registerBackend("cpu", make)]);
      expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
      await expect(group.barrier())
        .rejects.toThrow()
        .catch(() => {});
      for (const device of ["foo", "", "constructor", undefined]) {
        expect(() => group.getBackend(device as "cpu")).toThrow(RangeError);
      }
    });
  });
});
