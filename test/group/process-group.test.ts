import { afterEach, describe, expect, it } from "vitest";
import type { Backend, BackendContext } from "../../src/backend/backend.ts";
import { unsupported } from "../../src/backend/backend.ts";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { AbortedError, MismatchError, PeerLostError, TimeoutError, UnsupportedError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import type { WorkInfo } from "../../src/group/work.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import type { Request } from "../../src/request.ts";

let jobs = 0;
let groups: ProcessGroup[] = [];

async function memoryGroups(size: number, options: InitOptions = {}): Promise<ProcessGroup[]> {
  const initMethod = `memory://process-group-${jobs++}`;
  groups = await Promise.all(
    Array.from({ length: size }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize: size, ...options })),
  );
  return groups;
}

afterEach(async () => {
  await Promise.all(groups.map((group) => group.destroy()));
});

const failureOf = (call: PromiseLike<unknown>): Promise<Error | null> =>
  Promise.resolve(call).then(
    () => null,
    (error) => error,
  );

async function expectWhole(members: readonly ProcessGroup[]): Promise<void> {
  await Promise.all(members.map((group) => group.barrier()));
}

describe("onCompletion() and onMembership()", () => {
  it.each([5, null, undefined, "hook", {}])("refuse %j as a hook, and the group goes on", async (hook) => {
    const groups = await memoryGroups(2);
    for (const group of groups) {
      expect(() => group.onCompletion(hook as never)).toThrow(/^onCompletion: the hook must be a function, got/);
      expect(() => group.onMembership(hook as never)).toThrow(/^onMembership: the hook must be a function, got/);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });
});

describe("onCompletion()", () => {
  it("tells each Work's kind, number and times", async () => {
    const [a, b] = (await memoryGroups(2)) as [ProcessGroup, ProcessGroup];
    const infos: WorkInfo[] = [];
    a.onCompletion((info) => infos.push(info));
    for (const call of [
      () => Promise.all([a.barrier(), b.barrier()]),
      () => Promise.all([a.allReduce(new Float32Array(3)), b.allReduce(new Float32Array(3))]),
    ]) {
      await call();
    }
    expect(infos.map(({ opType, sequence }) => [opType, sequence])).toEqual([
      ["BARRIER", 1],
      ["ALLREDUCE", 2],
    ]);
    for (const { timeStarted, timeFinished } of infos) expect(timeFinished).toBeGreaterThanOrEqual(timeStarted);
  });

  it("lets what a hook throws reach the caller, and the group go on", async () => {
    const [a, b] = (await memoryGroups(2)) as [ProcessGroup, ProcessGroup];
    let throws = true;
    a.onCompletion(() => {
      if (throws) throw new Error("from the hook");
    });
    const other = b.barrier();
    await expect(a.barrier()).rejects.toThrow("from the hook");
    await other;
    throws = false;
    await expectWhole([a, b]);
  });
});

describe("timeoutMs", () => {
  it("ends a call with a TimeoutError that names the rank that never came, on every rank, and the group is dead", async () => {
    const members = await memoryGroups(4);
    const started = performance.now();
    const errors = await Promise.all(
      [0, 1, 3].map((rank) => failureOf(members[rank]!.allReduce(new Float32Array(8), { timeoutMs: 200 }))),
    );
    expect(performance.now() - started).toBeLessThan(1_200);
    for (const error of errors) {
      expect(error).toBeInstanceOf(TimeoutError);
      expect((error as TimeoutError).missingRanks).toEqual([2]);
      expect(error!.message).toMatch(/allReduce 1 did not end within 200 ms; missing: rank 2/);
    }
    expect(await failureOf(members[2]!.barrier())).toBeInstanceOf(TimeoutError);
    expect(await failureOf(members[0]!.barrier())).toBeInstanceOf(TimeoutError);
  });

  it("names nobody who has done its part and left", async () => {
    const [a, b] = (await memoryGroups(3)) as [ProcessGroup, ProcessGroup, ProcessGroup];
    const outputs = [0, 1, 2].map(() => new Float32Array(1));
    const error = failureOf(a.gather(outputs, new Float32Array(1), { timeoutMs: 200 }));
    await b.gather(null, new Float32Array(1));
    await b.destroy();
    expect(await error).toMatchObject({ missingRanks: [2] });
  });

  it("of monitoredBarrier() names the first missing rank, or all", async () => {
    for (const waitAllRanks of [false, true]) {
      const members = await memoryGroups(4);
      const errors = await Promise.all(
        members.slice(0, 2).map((group) => failureOf(group.monitoredBarrier({ timeoutMs: 100, waitAllRanks }))),
      );
      for (const error of errors) {
        expect(error).toBeInstanceOf(TimeoutError);
        expect((error as TimeoutError).missingRanks).toEqual(waitAllRanks ? [2, 3] : [2]);
      }
      await Promise.all(members.map((group) => group.destroy()));
    }
  });
});

describe("a signal", () => {
  it("withdraws a recv that no message has met, and the group is whole", async () => {
    const [a, b] = (await memoryGroups(2)) as [ProcessGroup, ProcessGroup];
    const controller = new AbortController();
    const target = new Float32Array(2);
    const work = b.recv(target, 0, { signal: controller.signal });
    controller.abort(new Error("changed my mind"));
    const error = await failureOf(work);
    expect(error).toBeInstanceOf(AbortedError);
    expect(error!.message).toMatch(/changed my mind/);
    const received = b.recv(target, 0);
    await a.send(Float32Array.of(3, 4), 1);
    await received;
    expect([...target]).toEqual([3, 4]);
    await expectWhole([a, b]);
  });

  it("aborts any other call, and the group with it", async () => {
    const [a, b] = (await memoryGroups(2)) as [ProcessGroup, ProcessGroup];
    const controller = new AbortController();
    const work = a.allReduce(new Float32Array(4), { signal: controller.signal });
    controller.abort();
    expect(await failureOf(work)).toBeInstanceOf(AbortedError);
    expect(await failureOf(b.barrier())).toBeInstanceOf(AbortedError);
  });

  it("that has fired already keeps this rank from the call, which rejects on the others too", async () => {
    const [a, b] = (await memoryGroups(2)) as [ProcessGroup, ProcessGroup];
    const error = await failureOf(a.barrier({ signal: AbortSignal.abort("enough") }));
    expect(error).toBeInstanceOf(AbortedError);
    expect(error!.message).toBe('group "default": barrier 1 was aborted before it began: enough');
    expect(a.sequence).toBe(1);
    expect(await failureOf(b.barrier())).toBeInstanceOf(MismatchError);
    await expectWhole([a, b]);
  });
});

describe("abort() and destroy()", () => {
  it("abort() ends pending and later calls on every rank with its reason", async () => {
    const members = await memoryGroups(3);
    const pending = members.slice(1).map((group) => failureOf(group.allReduce(new Float32Array(4))));
    members[0]!.abort("enough");
    for (const error of await Promise.all(pending)) {
      expect(error).toBeInstanceOf(AbortedError);
      expect(error!.message).toMatch(/rank 0 aborted it: enough/);
    }
    expect(await failureOf(members[2]!.barrier())).toBeInstanceOf(AbortedError);
  });

  it("a rank that destroyed the group is no loss until someone waits for it", async () => {
    const [a, b, c] = (await memoryGroups(3)) as [ProcessGroup, ProcessGroup, ProcessGroup];
    await expectWhole([a, b, c]);
    const work = a.recv(new Float32Array(1), 1);
    await c.destroy();
    await Promise.all([b.send(Float32Array.of(1), 0), work]);
    const error = await failureOf(a.barrier());
    expect(error).toBeInstanceOf(PeerLostError);
    expect((error as PeerLostError).rank).toBe(2);
  });

  it("a destroyed group refuses calls, and destroy() may be called again", async () => {
    const [a] = (await memoryGroups(1)) as [ProcessGroup];
    await a.destroy();
    await a.destroy();
    expect(await failureOf(a.barrier())).toBeInstanceOf(AbortedError);
  });

  it("destroying a group of some ranks leaves the job's group whole", async () => {
    const members = await memoryGroups(3);
    const children = await Promise.all(members.map((group) => group.newGroup([2, 0])));
    expect(children[1]).toBeNull();
    expect(children[2]).toMatchObject({ rank: 0, size: 2, globalRanks: [2, 0] });
    await Promise.all(children.map((child) => child?.destroy()));
    await expectWhole(members);
  });
});

describe("coalesce()", () => {
  it("is one Work for all calls, and rejects with the first error", async () => {
    const members = await memoryGroups(2);
    const tensors = members.map(() => [Int32Array.of(1), Float64Array.of(2)] as const);
    await Promise.all(
      members.map((group, rank) =>
        group.coalesce(() => {
          for (const tensor of tensors[rank]!) group.allReduce(tensor);
        }),
      ),
    );
    expect(tensors[1]!.map((tensor) => tensor[0])).toEqual([2, 4]);
    const work = members[0]!.coalesce(() => {
      members[0]!.allReduce([1, 2] as never);
    });
    expect(await failureOf(work)).toBeInstanceOf(TypeError);
    for (const error of await Promise.all(members.map((group) => failureOf(group.barrier())))) {
      expect(error!.message).toContain("rank 0 called barrier() after a call that was refused");
    }
    await expectWhole(members);
  });
});

describe("a backend of your own", () => {
  class LocalBackend implements Backend {
    readonly name = "local";
    readonly requests: Request[] = [];
    readonly context: BackendContext;
    constructor(context: BackendContext) {
      this.context = context;
    }
    run(request: Request): Promise<number | undefined> {
      if (request.collective === "scan") throw unsupported(this.name, request.collective);
      this.requests.push(request);
      return Promise.resolve(undefined);
    }
    stragglers = () => Promise.resolve([]);
    withdraw = () => false;
    abort() {}
    sitOut() {}
    dispose = () => Promise.resolve();
  }

  it("gets checked requests, and says what it cannot do", async () => {
    const made: LocalBackend[] = [];
    const [group] = (await memoryGroups(1, {
      backend: (context) => {
        const backend = new LocalBackend(context);
        made.push(backend);
        return backend;
      },
    })) as [ProcessGroup];
    expect(group.backendName).toBe("local");
    await group.allReduce(Float32Array.of(1));
    expect(made[0]!.requests).toMatchObject([{ collective: "allReduce", op: { name: "sum" } }]);
    const error = await failureOf(group.scan(Float32Array.of(1)));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error!.message).toBe("Backend local does not support scan");
    await made[0]!.context.store.set("key", "value");
    expect(new TextDecoder().decode(await made[0]!.context.store.get("key"))).toBe("value");
  });
});
