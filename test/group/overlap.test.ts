import { afterAll, describe, expect, it } from "vitest";
import type { Transfer } from "../../src/algorithm/context.ts";
import type { Span } from "../../src/executor/executor.ts";
import { TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { freePort } from "../helpers/free-port.ts";
import { gpuEnvironment, testExecutor } from "../helpers/gpu.ts";

Object.assign(process.env, gpuEnvironment());

const SEGMENT_BYTES = 262_144;
const SEGMENTS = 8;
const BYTES = 2 * SEGMENTS * SEGMENT_BYTES;

const groups: ProcessGroup[] = [];
afterAll(() => Promise.all(groups.map((group) => group.destroy())));

/** The times at which the event loop turned, until the function that this returns is called. */
function turnsOfLoop(): { times: readonly number[]; stop(): void } {
  const times: number[] = [];
  let goesOn = true;
  const turn = () => {
    times.push(performance.now());
    if (goesOn) setImmediate(turn);
  };
  turn();
  return {
    times,
    stop: () => {
      goesOn = false;
    },
  };
}

/** Each segment's readbacks with their sends, in the order in which they were read. */
function pairsOf(transfers: readonly Transfer[]): { read: Transfer; send: Transfer }[] {
  const sends = new Map<number, Transfer[]>();
  for (const transfer of transfers) {
    if (transfer.step === "send") sends.set(transfer.slot, [...(sends.get(transfer.slot) ?? []), transfer]);
  }
  const reads = transfers.filter(({ step }) => step === "read");
  return reads.map((read) => ({ read, send: sends.get(read.slot)!.shift()! }));
}

describe("allReduce() of a GPUBuffer in 8 segments", () => {
  it("reads several segments at once, and sends each in the turn in which it was read", async () => {
    const port = await freePort();
    const transfers: Transfer[][] = [[], []];
    const options = { initMethod: `tcp://127.0.0.1:${port}`, backend: "webgpu", segmentBytes: SEGMENT_BYTES } as const;
    const joined = await Promise.all(
      transfers.map((own, rank) =>
        initProcessGroup({ ...options, rank, worldSize: 2, onTransfer: (transfer: Transfer) => own.push(transfer) }),
      ),
    );
    groups.push(...joined);
    const tensors = joined.map(({ device }) => device!.createBuffer({ size: BYTES, usage: TENSOR_USAGE }));
    const run = () =>
      Promise.all(
        joined.map((group, i) => group.allReduce({ buffer: tensors[i]!, dtype: "f32" }, { algorithm: "ring" })),
      );
    await run();
    for (const own of transfers) own.length = 0;
    const turns = turnsOfLoop();
    for (let i = 0; i < 3; i++) await run();
    turns.stop();
    // Four segments are under way, and a ring takes two of scratch for each. Two buffers are the device's own.
    for (const group of joined) {
      const memory = { buffers: 14, stagingBytes: 4 * SEGMENT_BYTES, scratchBytes: 8 * SEGMENT_BYTES };
      expect(group.info().gpuMemory).toEqual(memory);
    }
    for (const own of transfers) {
      const pairs = pairsOf(own);
      expect(pairs.length).toBe(3 * 2 * SEGMENTS);
      const outstanding = pairs.map(
        ({ read: { start } }) => pairs.filter(({ read }) => read.start <= start && start < read.end).length,
      );
      expect(Math.max(...outstanding)).toBeGreaterThanOrEqual(2);
      // No segment waits for the readback of another: once its bytes are there, it is sent before the event loop turns.
      const late = pairs.filter(({ read, send }) => turns.times.some((time) => read.end < time && time < send.start));
      expect(late).toEqual([]);
      // So a readback that ends in a later turn than the one before finds that one's segment with the link.
      const before = pairs.slice(1).map(({ read }, i) => ({ read, last: pairs[i]! }));
      const later = before.filter(({ read, last }) =>
        turns.times.some((time) => last.read.end < time && time < read.end),
      );
      expect(later.filter(({ read, last }) => last.send.start > read.end)).toEqual([]);
      const isSent = ({ read, last }: (typeof before)[number]) => last.send.end <= read.end;
      const [sent, sentLater] = [before.filter(isSent).length, later.filter(isSent).length];
      console.log(`${later.length} of ${before.length} readbacks ended in a later turn than the one before;`);
      console.log(`that one's segment was sent by then in ${sentLater} of them, and in ${sent} of all`);
      expect(sent).toBeGreaterThan(pairs.length / 6);
    }
  });
});

describe("read()", () => {
  it("does not wait for what was asked for after it, in one turn though it was", async () => {
    const gpu = await testExecutor();
    const [small, large] = [gpu.scratch("f32", 16), gpu.scratch("f32", 2 ** 24)];
    gpu.fill(small, 1);
    gpu.fill(large, 1);
    await gpu.settled();
    const submits = gpu.stats.submits;
    const ended: string[] = [];
    const read = async (name: string, span: Span) => {
      const lease = await gpu.read(span);
      ended.push(name);
      lease.release();
    };
    const first = read("before", small);
    for (let i = 0; i < 4; i++) gpu.reduce(ReduceOp.SUM, large, large, large);
    const second = read("after", gpu.slice(large, 0, 16));
    await first;
    expect(ended).toEqual(["before"]);
    await second;
    expect(gpu.stats.submits - submits).toBe(2);
    gpu.release(small);
    gpu.release(large);
    await gpu.dispose();
  });
});
