import { readFile } from "node:fs/promises";
import fc from "fast-check";
import * as ort from "onnxruntime-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildOptions } from "../../scripts/build-options.ts";
import * as ddp from "../../src/ddp/index.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import * as nn from "../../src/nn/index.ts";
import { createHub, mintTicket } from "../../src/node/hub.ts";
import { HubStore, hashTensors, initProcessGroup, RedisStore, TcpStore } from "../../src/node/index.ts";
import { checkOptions } from "../../src/option-checks.ts";
import { COLLECTIVE_OPTIONS, ROOTED_REDUCE_OPTIONS } from "../../src/options.ts";
import {
  columnShard,
  recvActivation,
  rowShard,
  runColumnParallel,
  runRowParallel,
  sendActivation,
  shardLengths,
} from "../../src/ort/index.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { averageGradients, broadcastVariables, distributed, type TfOptimizer } from "../../src/tfjs/index.ts";

const f32 = () => new Float32Array(4);
const parameters = () => [{ tensor: f32(), shape: [4] }];

/** Never runs. */
const NO_SESSION = { outputNames: ["y"], run: async () => ({}) };

/** Every public function that takes options, called with right arguments and `options`, in a group of one rank. */
const FUNCTIONS: Readonly<Record<string, (group: ProcessGroup, options: never) => unknown>> = {
  broadcast: (group, options) => group.broadcast(f32(), options),
  allReduce: (group, options) => group.allReduce(f32(), options),
  hashTensors: (_group, options) => hashTensors([f32()], options),
  reduce: (group, options) => group.reduce(f32(), options),
  allGather: (group, options) => group.allGather([f32()], f32(), options),
  allGatherIntoTensor: (group, options) => group.allGatherIntoTensor(f32(), f32(), options),
  gather: (group, options) => group.gather([f32()], f32(), options),
  scatter: (group, options) => group.scatter(f32(), [f32()], options),
  reduceScatter: (group, options) => group.reduceScatter(f32(), [f32()], options),
  reduceScatterTensor: (group, options) => group.reduceScatterTensor(f32(), f32(), options),
  allToAll: (group, options) => group.allToAll([f32()], [f32()], options),
  allToAllSingle: (group, options) => group.allToAllSingle(f32(), f32(), options),
  scan: (group, options) => group.scan(f32(), options),
  exscan: (group, options) => group.exscan(f32(), options),
  allReduceCoalesced: (group, options) => group.allReduceCoalesced([f32()], options),
  allReduceAll: (group, options) => group.allReduceAll([f32()], options),
  broadcastAll: (group, options) => group.broadcastAll([f32()], options),
  allGatherIntoTensorCoalesced: (group, options) => group.allGatherIntoTensorCoalesced([f32()], [f32()], options),
  reduceScatterTensorCoalesced: (group, options) => group.reduceScatterTensorCoalesced([f32()], [f32()], options),
  "persistent.allReduce": (group, options) => group.persistent.allReduce(f32(), options).ready,
  "persistent.reduceScatterTensorCoalesced": (group, options) =>
    group.persistent.reduceScatterTensorCoalesced([f32()], [f32()], options).start(),
  send: (group, options) => group.send(f32(), 0, options),
  recv: (group, options) => group.recv(f32(), 0, options),
  recvAnySource: (group, options) => group.recvAnySource(f32(), options),
  barrier: (group, options) => group.barrier(options),
  dumpTrace: (group, options) => group.dumpTrace(options),
  monitoredBarrier: (group, options) => group.monitoredBarrier(options),
  allGatherObject: (group, options) => group.allGatherObject(1, options),
  broadcastObject: (group, options) => group.broadcastObject(1, options),
  gatherObject: (group, options) => group.gatherObject(1, options),
  scatterObject: (group, options) => group.scatterObject([1], options),
  newGroup: (group, options) => group.newGroup([0], options),
  shrink: (group, options) => group.shrink(options),
  admit: (group, options) => group.admit(options),
  split: (group, options) => group.split(0, 0, options),
  Reducer: (_group, options) => new ddp.Reducer(options),
  prepareForBackward: (group, options) =>
    new ddp.Reducer({ group, parameters: parameters() }).prepareForBackward(options),
  join: (group, options) => ddp.join([new ddp.Reducer({ group, parameters: parameters() })], () => {}, options),
  ShardedOptimizer: (_group, options) => new ddp.ShardedOptimizer(options),
  DiLoCo: (_group, options) => new ddp.DiLoCo(options),
  sgd: (_group, options) => ddp.sgd(options),
  adam: (_group, options) => ddp.adam(options),
  "nn.allReduce": (group, options) => nn.allReduce(group, f32(), options),
  "nn.reduce": (group, options) => nn.reduce(group, f32(), options),
  "nn.broadcast": (group, options) => nn.broadcast(group, f32(), options),
  "nn.gather": (group, options) => nn.gather(group, f32(), options),
  "nn.scatter": (group, options) => nn.scatter(group, [f32()], options),
  "nn.allGather": (group, options) => nn.allGather(group, f32(), options),
  "nn.allGatherBase": (group, options) => nn.allGatherBase(group, f32(), options),
  "nn.reduceScatter": (group, options) => nn.reduceScatter(group, [f32()], options),
  "nn.reduceScatterBase": (group, options) => nn.reduceScatterBase(group, f32(), options),
  "nn.allToAll": (group, options) => nn.allToAll(group, [f32()], options),
  "nn.allToAllSingle": (group, options) => nn.allToAllSingle(group, f32(), options),
  initProcessGroup: (_group, options) => initProcessGroup(options),
  createHub: (_group, options) => createHub(options),
  mintTicket: (_group, options) => mintTicket("token", options),
  averageGradients: (group, options) => averageGradients(group, {}, options),
  distributed: (group, options) => distributed({} as TfOptimizer, group, options),
  broadcastVariables: (group, options) => broadcastVariables(group, [], options),
  "HubStore.connect": (_group, options) => HubStore.connect("ws://127.0.0.1:1", options),
  "TcpStore.listen": (_group, options) => TcpStore.listen(options),
  "TcpStore.connect": (_group, options) => TcpStore.connect(options),
  RedisStore: (_group, options) => new RedisStore({ sendCommand: async () => null }, options),
  "ReduceOp.custom": (_group, options) => ReduceOp.custom(options),
  broadcastCoalesced: (group, options) => ddp.broadcastCoalesced(group, [f32()], options),
  gatherCheckpoint: (group, options) => ddp.gatherCheckpoint(group, {}, options),
  scatterCheckpoint: (group, options) => ddp.scatterCheckpoint(group, null, {}, options),
  loadCheckpoint: (group, options) => ddp.loadCheckpoint(group, null, options),
  DistributedSampler: (_group, options) => new ddp.DistributedSampler(options),
  Int8State: (_group, options) => new ddp.Int8State(options),
  PowerSgdState: (_group, options) => new ddp.PowerSgdState(options),
  TopKState: (_group, options) => new ddp.TopKState(options),
  columnShard: (group, options) => columnShard(f32(), [4], group, options),
  rowShard: (group, options) => rowShard(f32(), [2, 2], group, options),
  shardLengths: (_group, options) => shardLengths(4, 2, options),
  runRowParallel: (group, options) => runRowParallel(group, NO_SESSION, {}, options),
  runColumnParallel: (group, options) => runColumnParallel(group, NO_SESSION, {}, options),
  sendActivation: (group, options) => sendActivation(group, new ort.Tensor("float32", [1]), 0, options),
  recvActivation: (group, options) => recvActivation(group, 0, options),
};

/** What may stand where options belong, and what the error names. */
const WRONG: readonly (readonly [value: unknown, says: RegExp])[] = [
  [{ quxx: 1 }, /unknown option quxx/],
  [{ constructor: 1 }, /unknown option constructor/],
  ["max", /options must be an object, got "max"/],
  [3, /options must be an object, got 3/],
  [true, /options must be an object, got true/],
  [null, /options must be an object, got null/],
  [[], /options must be an object, got a list/],
];

let group: ProcessGroup;

beforeAll(async () => {
  group = await initProcessGroup({ initMethod: "memory://options", rank: 0, worldSize: 1 });
});

afterAll(() => group.destroy());

const errorOf = async (call: () => unknown): Promise<unknown> => {
  try {
    return await call();
  } catch (error) {
    return error;
  }
};

describe("options", () => {
  it.each(Object.keys(FUNCTIONS))("%s refuses what is no option of it, and names it", async (name) => {
    for (const [value, says] of WRONG) {
      const error = await errorOf(() => FUNCTIONS[name]!(group, value as never));
      expect(error, `${name}(${JSON.stringify(value)})`).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(says);
      expect((error as Error).message).toContain(name);
    }
    await group.barrier();
  });

  it("is tried on every method of a group whose last argument is options", async () => {
    const source = await readFile(new URL("../../src/group/process-group.ts", import.meta.url), "utf8");
    const methods = [...source.matchAll(/^ {2}(?:async )?(\w+)(?:<[^(]*>)?\([^#{}]*?options: \w+Options = \{\}/gm)];
    expect(methods.length).toBeGreaterThan(20);
    for (const [, name = ""] of methods) expect(Object.keys(FUNCTIONS)).toContain(name);
  });

  it("refuses a signal that is no AbortSignal, wherever there is one, before anything happens", async () => {
    const like = { aborted: false, addEventListener: () => {}, removeEventListener: () => {} };
    const takers = new Set<string>();
    for (const [name, call] of Object.entries(FUNCTIONS)) {
      for (const signal of [new AbortController(), new EventTarget(), like, {}, null, 5, "x"]) {
        const { sequence } = group;
        const error = await errorOf(() => call(group, { signal } as never));
        expect(error).toBeInstanceOf(TypeError);
        if (String(error).includes("unknown option signal")) continue;
        takers.add(name);
        expect(String(error)).toMatch(/signal must be an AbortSignal, such as controller\.signal, got/);
        expect(String(error)).toContain(name);
        // The calls of webccl/ort sit out what they cannot make, so that each has one number on every rank.
        expect(group.sequence).toBe(sequence + (/^run(Row|Column)Parallel$/.test(name) ? 1 : 0));
      }
    }
    const others = ["initProcessGroup", "HubStore.connect", "recvActivation", "runRowParallel", "nn.allReduce"];
    expect([...takers]).toEqual(expect.arrayContaining(others));
    expect(takers.size).toBeGreaterThan(35);
    await group.barrier();
  });

  it("are taken at the call inside coalesce(), too", async () => {
    const options = { timeoutMs: 5_000 };
    await group.coalesce(() => {
      void group.allReduce(f32(), options);
      Object.assign(options, { timeoutMs: -1, signal: 5 });
      void group.barrier();
    });
  });

  it("refuses what is no option of listen, its tls, ncclOptions and its config", async () => {
    const place = { initMethod: "memory://options-2", rank: 0, worldSize: 1 };
    for (const [options, says] of [
      [{ listen: { hosts: "a" } }, /listen: unknown option hosts; did you mean host\?/],
      [{ listen: { tls: { certificate: "" } } }, /listen\.tls: unknown option certificate/],
      [{ ncclOptions: { high: true } }, /ncclOptions: unknown option high/],
      [
        { ncclOptions: { config: { minCTAs: 1 } } },
        /ncclOptions\.config: unknown option minCTAs; did you mean minCtas\?/,
      ],
    ] as const) {
      expect(String(await errorOf(() => initProcessGroup({ ...place, ...(options as object) })))).toMatch(says);
    }
  });

  it.each([
    [{ src: 0 }, "broadcast", /did you mean root\?/],
    [{ dst: 0 }, "reduce", /did you mean root\?/],
    [{ ops: "max" }, "allReduce", /did you mean op\?/],
    [{ timeout: 5 }, "barrier", /did you mean timeoutMs\?/],
    ["max", "allReduce", /did you mean \{ op: "max" \}\?/],
    [1, "broadcast", /did you mean \{ root: 1 \}\?/],
    [7, "send", /did you mean \{ tag: 7 \}\?/],
    [{ init_method: "env://" }, "initProcessGroup", /did you mean initMethod\?/],
    [{ world_size: 2 }, "initProcessGroup", /did you mean worldSize\?/],
    ["memory://a", "initProcessGroup", /did you mean \{ initMethod: "memory:\/\/a" \}\?/],
  ])("%j: %s says what was probably meant", async (value, name, says) => {
    expect(String(await errorOf(() => FUNCTIONS[name]!(group, value as never)))).toMatch(says);
  });

  it("takes every option that it knows, also as undefined", async () => {
    const options = { timeoutMs: undefined, signal: undefined, algorithm: undefined, op: undefined, root: undefined };
    await group.reduce(f32(), options as never);
  });
});

describe("checkOptions()", () => {
  it("finds the option of which one letter is wrong", () => {
    const names = Object.keys(ROOTED_REDUCE_OPTIONS).filter((name) => name.length > 3);
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.nat(),
        fc.constantFrom("insert", "delete", "replace", "case"),
        (name, seed, edit) => {
          const at = seed % name.length;
          const wrong = {
            insert: `${name.slice(0, at)}x${name.slice(at)}`,
            delete: name.slice(0, at) + name.slice(at + 1),
            replace: `${name.slice(0, at)}x${name.slice(at + 1)}`,
            case: name.toUpperCase(),
          }[edit];
          fc.pre(!(wrong in ROOTED_REDUCE_OPTIONS));
          expect(() => checkOptions("reduce", ROOTED_REDUCE_OPTIONS, { [wrong]: 1 } as never)).toThrow(
            new TypeError(`reduce: unknown option ${wrong}; did you mean ${name}?`),
          );
        },
      ),
    );
  });

  it("lists what there is where nothing is near", () => {
    expect(() => checkOptions("barrier", COLLECTIVE_OPTIONS, { colour: 1 } as never)).toThrow(
      new TypeError("barrier: unknown option colour; known are timeoutMs, signal, algorithm"),
    );
  });
});

describe("docs/options.md", () => {
  it("is what the interfaces say", async () => {
    const committed = await readFile(new URL("../../docs/options.md", import.meta.url), "utf8");
    expect(committed === buildOptions(), "run `npm run build:options`").toBe(true);
  });
});
