/** Lists and objects that a caller passes are copied at the call: what it does to them afterwards changes no result. */
import { describe, expect, it, onTestFinished } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { createHub } from "../../src/node/hub.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";
import { freePort } from "../helpers/free-port.ts";

const SIZE = 3;
const random = new SeededRandom(6, "arguments copied");

/** Changes everything that `value` holds: lists are shuffled, cut and refilled, objects lose and swap their fields. */
function spoil(value: unknown): void {
  if (ArrayBuffer.isView(value) || typeof value !== "object" || value === null) return;
  for (const inner of Object.values(value)) spoil(inner);
  if (Array.isArray(value)) {
    value.reverse();
    if (random.u32() % 2 === 0) value.push(value[0]);
    if (random.u32() % 2 === 0) value[0] = typeof value[0] === "number" ? 1 : new Int32Array(3);
  } else {
    for (const key of Object.keys(value))
      (value as Record<string, unknown>)[key] = random.u32() % 2 ? undefined : "junk";
  }
}

/** A call: its arguments, and what it leaves where. Root is rank 1. */
interface CopiedCall {
  args(rank: number): unknown[];
  result(args: unknown[], value: unknown): unknown;
}

const ints = (...values: number[]) => new Int32Array(values);
const lists = (rank: number) => Array.from({ length: SIZE }, (_, r) => ints(10 * rank + r));
const blanks = () => Array.from({ length: SIZE }, () => ints(0));
/** The arguments are spoilt, so what they hold is kept apart. */
const flat = (tensors: unknown) => (tensors as Int32Array[]).map((tensor) => [...tensor]);

const CALLS: Partial<Record<keyof ProcessGroup, CopiedCall>> = {
  allReduce: { args: (rank) => [ints(rank), { op: "max" }], result: ([tensor]) => tensor },
  broadcast: { args: (rank) => [ints(rank), { root: 1 }], result: ([tensor]) => tensor },
  reduce: { args: (rank) => [ints(rank), { root: 1, op: "max" }], result: ([tensor]) => tensor },
  scan: { args: (rank) => [ints(rank), { op: "max" }], result: ([tensor]) => tensor },
  allGather: { args: (rank) => [blanks(), ints(rank)], result: ([outputs]) => flat(outputs) },
  gather: {
    args: (rank) => [rank === 1 ? blanks() : null, ints(rank), { root: 1 }],
    result: ([outputs]) => outputs && flat(outputs),
  },
  scatter: { args: (rank) => [ints(0), rank === 1 ? lists(1) : null, { root: 1 }], result: ([output]) => output },
  reduceScatter: { args: (rank) => [ints(0), lists(rank), { op: "max" }], result: ([output]) => output },
  allToAll: { args: (rank) => [blanks(), lists(rank)], result: ([outputs]) => flat(outputs) },
  allToAllSingle: {
    args: (rank) => [
      new Int32Array(3 * (rank + 1)),
      ints(0, 1, 2, 3, 4, rank),
      { inputSplits: [1, 2, 3], outputSplits: [rank + 1, rank + 1, rank + 1] },
    ],
    result: ([output]) => output,
  },
  allReduceAll: { args: (rank) => [lists(rank), { op: "max" }], result: ([tensors]) => flat(tensors) },
  broadcastAll: { args: (rank) => [lists(rank), { root: 1 }], result: ([tensors]) => flat(tensors) },
  allReduceCoalesced: { args: (rank) => [lists(rank), { op: "max" }], result: ([tensors]) => flat(tensors) },
  allGatherIntoTensorCoalesced: {
    args: (rank) => [
      [new Int32Array(3), new Int32Array(3)],
      [ints(rank), ints(-rank)],
    ],
    result: ([outputs]) => flat(outputs),
  },
  reduceScatterTensorCoalesced: {
    args: (rank) => [[ints(0), ints(0)], [ints(rank, 1, 2), ints(4, rank, 6)], { op: "max" }],
    result: ([outputs]) => flat(outputs),
  },
  allGatherObject: { args: (rank) => [{ list: [rank, { deep: [rank] }] }], result: (_, value) => value },
  broadcastObject: { args: (rank) => [{ list: [rank, 7] }, { root: 1 }], result: (_, value) => value },
  gatherObject: { args: (rank) => [[rank, [rank]], { root: 1 }], result: (_, value) => value },
  scatterObject: {
    args: (rank) => [rank === 1 ? [[1], [2], { three: 3 }] : null, { root: 1 }],
    result: (_, value) => value,
  },
  newGroup: {
    args: () => [[2, 0, 1], { name: "three" }],
    result: (_, group) => {
      const { globalRanks, rank, description } = group as ProcessGroup;
      return { globalRanks, rank, description };
    },
  },
};

/** Makes the call on every rank, and changes the arguments while it runs if `isSpoilt`. */
function resultsOf(transport: (typeof TEST_TRANSPORTS)[number], name: keyof ProcessGroup, isSpoilt: boolean) {
  return withGroup(transport, SIZE, async (group, rank) => {
    const { args, result } = CALLS[name]!;
    const given = args(rank);
    const kept = given.map((argument) => (Array.isArray(argument) ? [...argument] : argument));
    const work = (group[name] as (...args: unknown[]) => PromiseLike<unknown>)(...given);
    if (isSpoilt) spoil(given);
    return result(kept, await work);
  });
}

describe.each([...TEST_TRANSPORTS])("arguments that change after the call, over %s", (transport) => {
  it.each(Object.keys(CALLS) as (keyof ProcessGroup)[])("change nothing: %s", async (name) => {
    expect(await resultsOf(transport, name, true)).toEqual(await resultsOf(transport, name, false));
  });
});

it("initProcessGroup copies its options, the inner ones too", async () => {
  const port = await freePort();
  const groups = await Promise.all(
    [0, 1].map((rank) => {
      const listen = { host: "127.0.0.1", port: 0 };
      const ncclOptions = { config: { blocking: true } };
      const initMethod = `tcp://127.0.0.1:${port}`;
      const options = {
        initMethod,
        rank,
        worldSize: 2,
        backend: "cpu" as const,
        timeoutMs: 20_000,
        listen,
        ncclOptions,
      };
      const group = initProcessGroup({ ...options, transport: "websocket" });
      spoil(listen);
      spoil(ncclOptions);
      return group;
    }),
  );
  await Promise.all(groups.map((group) => group.barrier()));
  await Promise.all(groups.map((group) => group.destroy()));
});

it("createHub copies its lists", async () => {
  const origins = ["https://good.example"];
  const allowHosts = ["hub.example"];
  const hub = await createHub({ port: 0, origins, allowHosts });
  onTestFinished(() => hub.close());
  origins.push("https://bad.example");
  allowHosts.push("bad.example");
  const statusOf = async (origin: string, host: string) => {
    const { request } = await import("node:http");
    return new Promise<number | undefined>((resolve, reject) => {
      const headers = {
        ...{ origin, host, connection: "Upgrade", upgrade: "websocket" },
        ...{ "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" },
      };
      const asked = request({ host: "127.0.0.1", port: hub.port, headers });
      asked.on("response", (response) => resolve(response.statusCode));
      asked.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve(response.statusCode);
      });
      asked.on("error", reject);
      asked.end();
    });
  };
  expect(await statusOf("https://good.example", "hub.example")).toBe(101);
  expect(await statusOf("https://bad.example", "hub.example")).toBe(403);
  expect(await statusOf("https://good.example", "bad.example")).toBe(403);
});
