import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { REDUCE_OP_NAMES } from "../../src/reduce-op.ts";
import { digest, foldElements } from "../../src/testing/index.ts";
import { COLLECTIVES, DATA_TYPES, type DataType } from "../../src/types.ts";
import { encodeHeader, type Fingerprint, FoldFlag, FrameKind, HUB_PEER } from "../../src/wire/frame.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { countingProxy } from "./counting-proxy.ts";
import { closeOf, joinConnection, openHub } from "./support.ts";

const MIB = 2 ** 20;
const GROUP = 7;

type InitOptions = NonNullable<Parameters<typeof initProcessGroup>[0]>;

/** Ranks of this process that reach each other through `urls` alone. */
function relayedGroup(urls: readonly string[], name: string, options: InitOptions = {}): Promise<ProcessGroup[]> {
  return Promise.all(
    urls.map((url, rank) =>
      initProcessGroup({
        ...{ initMethod: `${url}/${name}`, rank, worldSize: urls.length, transport: "hub", timeoutMs: 10_000 },
        ...options,
      }),
    ),
  );
}

const fractions = (count: number, rank: number) => Float32Array.from({ length: count }, (_, i) => (i % 997) / 7 + rank);

function foldHead(fields: {
  payloadBytes: number;
  request: number;
  dtype?: DataType;
  op?: (typeof REDUCE_OP_NAMES)[number];
  slot?: number;
  group?: number;
  sequence?: number;
}): Uint8Array {
  const { payloadBytes, request, dtype = "f32", op = "sum", slot = 0, group = GROUP, sequence = 1 } = fields;
  const fingerprint: Fingerprint = {
    ...{ collective: COLLECTIVES.indexOf("allReduce"), root: 0xffffffff, count: payloadBytes / 4, detail: 0 },
    ...{ dtype: DATA_TYPES.indexOf(dtype), op: REDUCE_OP_NAMES.indexOf(op), customOp: 0, algorithm: 0 },
    refused: 0,
    segmentBytes: 0,
    persistent: 0,
    ahead: 0,
  };
  return encodeHeader(
    { kind: FrameKind.FOLD, flags: 0, peer: HUB_PEER, epoch: 0, slot, group, sequence, payloadBytes, request },
    fingerprint,
  );
}

const BOTH = FoldFlag.HAS_PART | FoldFlag.WANTS;
const nameGroup = (ranks: unknown, group = GROUP) => encodeHubFrame({ type: "group", group, ranks });

describe("a hub that folds", () => {
  for (const [name, run, bytes] of [
    ["allReduce", (group, x) => group.allReduce(x), { up: () => 1, down: () => 1 }],
    ["broadcast", (group, x) => group.broadcast(x, { root: 1 }), { up: (r) => +(r === 1), down: (r) => +(r !== 1) }],
    ["reduce", (group, x) => group.reduce(x, { root: 2 }), { up: () => 1, down: (r) => +(r === 2) }],
  ] as const satisfies [
    string,
    (group: ProcessGroup, x: Float32Array) => Promise<void>,
    Record<"up" | "down", (rank: number) => number>,
  ][]) {
    it(`costs each of three ranks of ${name} S × 1.01 + 64 KiB each way at most`, async () => {
      const hub = await openHub();
      const proxies = await Promise.all([0, 1, 2].map(() => countingProxy(hub)));
      const groups = await relayedGroup(
        proxies.map(({ url }) => url),
        name,
      );
      const tensors = groups.map(({ rank }) => new Float32Array(2 * MIB).fill(rank + 1));
      await Promise.all(groups.map((group) => run(group, tensors[group.rank]!)));
      const size = tensors[0]!.byteLength;
      for (const rank of [0, 1, 2]) {
        expect(proxies[rank]!.up).toBeLessThanOrEqual(bytes.up(rank) * size * 1.01 + 65_536);
        expect(proxies[rank]!.down).toBeLessThanOrEqual(bytes.down(rank) * size * 1.01 + 65_536);
      }
      await Promise.all(groups.map((group) => group.destroy()));
    });
  }

  it("gives the bits of owner-direct in deterministic mode, and of the left fold", async () => {
    const hub = await openHub();
    for (const size of [2, 3, 5]) {
      const groups = await relayedGroup(Array(size).fill(hub.url), `bits-${size}`, { deterministic: true });
      const inputs = groups.map(({ rank }) => fractions(300_001, rank));
      const digests: string[] = [];
      for (const algorithm of ["hub", "owner-direct"]) {
        const tensors = inputs.map((input) => input.slice());
        await Promise.all(groups.map((group) => group.allReduce(tensors[group.rank]!, { algorithm, op: "avg" })));
        for (const tensor of tensors) digests.push(await digest([tensor]));
      }
      const ops = inputs.map(() => ({ name: "avg" }) as const);
      expect(new Set(digests)).toEqual(new Set([await digest([foldElements("f32", ops, inputs, size)])]));
      await Promise.all(groups.map((group) => group.destroy()));
    }
  });

  it("runs calls that some ranks make at once and others one by one, in several groups", async () => {
    const hub = await openHub();
    const groups = await relayedGroup(Array(3).fill(hub.url), "at-once");
    const children = await Promise.all(groups.map((group) => group.newGroup([2, 0, 1])));
    const sums = await Promise.all(
      groups.map(async (group, rank) => {
        const tensors = Array.from({ length: 40 }, (_, i) => new Float32Array(MIB / 4 + i).fill(rank + i));
        const works = [];
        for (const [i, tensor] of tensors.entries()) {
          const work = (i % 2 === 0 ? group : children[rank]!).allReduce(tensor);
          if (rank === 1) await work;
          else works.push(work);
        }
        await Promise.all(works);
        return tensors.map((tensor) => tensor.at(-1));
      }),
    );
    for (const sum of sums) expect(sum).toEqual(Array.from({ length: 40 }, (_, i) => 3 + 3 * i));
    await Promise.all(groups.map((group) => group.destroy()));
    await vi.waitFor(() => expect(hub.stats).toMatchObject({ members: 0, bytesInFlight: 0 }));
  });

  it("keeps nothing of a call that was a mismatch, and goes on", async () => {
    const hub = await openHub();
    const groups = await relayedGroup(Array(3).fill(hub.url), "mismatch");
    for (let round = 0; round < 3; round++) {
      const outcomes = await Promise.allSettled(
        groups.map((group) => group.allReduce(new Float32Array(group.rank === round ? 1000 : 1001))),
      );
      for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: expect.any(MismatchError) });
      const tensors = groups.map(() => Float32Array.of(1));
      await Promise.all(groups.map((group) => group.allReduce(tensors[group.rank]!)));
      expect(tensors.map(([sum]) => sum)).toEqual([3, 3, 3]);
    }
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBe(0));
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it("ends a call at all ranks when one is lost in it", async () => {
    const hub = await openHub();
    const groups = await relayedGroup(Array(3).fill(hub.url), "lost");
    const outcomes = [groups[0]!, groups[1]!].map((group) => group.allReduce(new Float32Array(MIB)));
    await setImmediate();
    const reasons = Promise.allSettled(outcomes);
    groups[2]!.abort("the third rank fails");
    for (const outcome of await reasons) expect(outcome).toMatchObject({ status: "rejected" });
    await Promise.all(groups.map((group) => group.destroy().catch(() => {})));
    await vi.waitFor(() => expect(hub.stats).toMatchObject({ members: 0, bytesInFlight: 0 }));
  });

  it("shares itself between two groups at full rate, 40 % to the slower at least", async () => {
    const hub = await openHub();
    const [first, second] = await Promise.all(
      ["first", "second"].map((name) => relayedGroup(Array(3).fill(hub.url), name)),
    );
    const done = [0, 0];
    let running = true;
    const flood = async (groups: readonly ProcessGroup[], index: number) => {
      const tensors = groups.map(() => new Float32Array(MIB / 2));
      while (running) {
        await Promise.all(groups.map((group) => group.allReduce(tensors[group.rank]!)));
        done[index]! += 1;
        if (done[0]! + done[1]! >= 120) running = false;
      }
    };
    await Promise.all([flood(first!, 0), flood(second!, 1)]);
    const share = Math.min(...done) / (done[0]! + done[1]!);
    console.log(`the slower of two groups gets ${(100 * share).toFixed(0)} % of the bytes`);
    expect(share).toBeGreaterThanOrEqual(0.4);
    await Promise.all([...first!, ...second!].map((group) => group.destroy()));
  });
});

describe("a hub that folds, against members that do not keep the rules", () => {
  it("S22 forgets the slots to which nobody comes any more when the next begins", async () => {
    const hub = await openHub({ slotLifeMs: 20 });
    const { socket, connection } = await joinConnection(hub, { rank: 0 });
    socket.send(nameGroup([0, 1]));
    const part = (sequence: number) => [foldHead({ payloadBytes: 400, request: BOTH, sequence }), new Uint8Array(400)];
    for (let sequence = 1; sequence <= 10; sequence++) socket.send(part(sequence));
    await connection.call("numKeys", [], 1_000);
    const full = hub.stats.bytesKept;
    let sequence = 11;
    await vi.waitFor(async () => {
      socket.send(part(sequence++));
      await connection.call("numKeys", [], 1_000);
      expect(hub.stats.bytesKept).toBeLessThan(full / 2);
    });
  });

  it("S10 S21 closes who names an operation with code, or a dtype there is not", async () => {
    for (const bad of [{ op: "custom" }, { dtype: "f128" as never }] as const) {
      const hub = await openHub();
      const { socket } = await joinConnection(hub, { rank: 0 });
      socket.send(nameGroup([0, 1]));
      socket.send([foldHead({ payloadBytes: 4, request: BOTH, ...bad }), new Uint8Array(4)]);
      expect((await closeOf(socket)).code).toBe(1002);
    }
  });

  it("closes who names a group it is not in, ranks that are none, or another order than its peers", async () => {
    for (const ranks of [[1], [0, 0], [0, 2], [0, -1], [0, 1.5], ["0", 1], []]) {
      const hub = await openHub();
      const { socket } = await joinConnection(hub, { rank: 0 });
      socket.send(nameGroup(ranks));
      expect((await closeOf(socket)).code).toBe(1002);
    }
    const hub = await openHub();
    const [zero, one] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    zero.socket.send(nameGroup([0, 1]));
    await zero.connection.call("numKeys", [], 1_000);
    one.socket.send(nameGroup([1, 0]));
    await zero.until(() => zero.events.length > 0);
    expect(zero.events).toMatchObject([{ type: "lost", rank: 1, reason: expect.stringContaining("protocol error") }]);
  });

  it("closes who comes to a slot twice, and drops and counts what is for a group that nobody named", async () => {
    const hub = await openHub();
    const { socket, connection } = await joinConnection(hub, { rank: 0 });
    const part = [foldHead({ payloadBytes: 4, request: BOTH }), new Uint8Array(4)];
    socket.send(part);
    await connection.call("numKeys", [], 1_000);
    expect(hub.stats.droppedFrames).toBe(1);
    socket.send(nameGroup([0, 1]));
    socket.send(part);
    socket.send([foldHead({ payloadBytes: 4, request: BOTH }), new Uint8Array(4)]);
    expect((await closeOf(socket)).code).toBe(1002);
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBe(0));
  });

  it("answers nobody where parts differ in length, and keeps nothing of them", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    zero.socket.send(nameGroup([0, 1]));
    one.socket.send(nameGroup([0, 1]));
    zero.socket.send([foldHead({ payloadBytes: 8, request: BOTH }), new Uint8Array(8)]);
    one.socket.send([foldHead({ payloadBytes: 4, request: BOTH }), new Uint8Array(4)]);
    zero.socket.send([foldHead({ payloadBytes: 4, request: BOTH, slot: 1 }), new Uint8Array(4)]);
    one.socket.send([foldHead({ payloadBytes: 4, request: BOTH, slot: 1 }), new Uint8Array(4)]);
    await zero.until(() => zero.folds.length > 0);
    expect(zero.folds).toMatchObject([{ header: { slot: 1 }, payload: new Uint8Array(4) }]);
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBe(0));
  });

  it("S9 closes who leaves too much at the hub, and keeps nothing of it; other groups go on", async () => {
    const hub = await openHub({ maxRankBytes: 4 * MIB });
    const { socket } = await joinConnection(hub, { rank: 0 });
    const other = await relayedGroup([hub.url, hub.url, hub.url], "other");
    socket.send(nameGroup([0, 1]));
    const bytes = new Uint8Array(MIB);
    for (let slot = 0; slot < 5; slot++) {
      socket.send([foldHead({ payloadBytes: MIB, request: BOTH, slot }), bytes]);
    }
    expect((await closeOf(socket)).code).toBe(1009);
    await vi.waitFor(() => expect(hub.stats).toMatchObject({ bytesInFlight: 0, rooms: 1 }));
    const tensors = other.map(() => Float32Array.of(2));
    await Promise.all(other.map((group) => group.allReduce(tensors[group.rank]!)));
    expect(tensors[0]![0]).toBe(6);
    await Promise.all(other.map((group) => group.destroy()));
  });
});
