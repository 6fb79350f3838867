import { describe, expect, it } from "vitest";
import type { Context } from "../../src/algorithm/context.ts";
import { foldInRankOrder, pipelined, recvSpan, sendSpan } from "../../src/algorithm/pipeline.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { simulate, WatchedExecutor } from "./simulate.ts";

const lanes = (segmentsInFlight: number) => ({ segmentsInFlight }) as Context;
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("pipelined()", () => {
  it("starts in order, and never more at once than segmentsInFlight", async () => {
    const started: number[] = [];
    let running = 0;
    let most = 0;
    await pipelined(lanes(3), 10, async (index) => {
      started.push(index);
      most = Math.max(most, ++running);
      for (let i = 0; i < 1 + ((index * 7) % 4); i++) await turn();
      running--;
    });
    expect(started).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(most).toBe(3);
  });

  it("rejects with the first failure and starts nothing more", async () => {
    const started: number[] = [];
    const run = pipelined(lanes(2), 10, async (index) => {
      started.push(index);
      await turn();
      if (index === 2) throw new Error("no more");
    });
    await expect(run).rejects.toThrow("no more");
    await turn();
    await turn();
    expect(started).toEqual([0, 1, 2, 3]);
  });
});

describe("foldInRankOrder()", () => {
  it.each([0, 1, 2, 3])("keeps the operand of rank %i, which it may overwrite only as the target", (own) => {
    const minus = ReduceOp.custom({
      name: "minus",
      wgsl: "a - b",
      js: (a: number, b: number) => a - b,
      identity: 0,
      commutative: false,
    });
    const executor = new WatchedExecutor();
    for (const inPlace of [true, false]) {
      const arrays = [100, 30, 4, 1].map((value) => Int32Array.of(value));
      const target = inPlace ? arrays[own]! : Int32Array.of(0);
      foldInRankOrder(
        executor,
        minus,
        executor.span(target),
        arrays.map((array) => executor.span(array)),
        own,
      );
      expect(target[0]).toBe(65);
      if (!inPlace) expect(arrays[own]![0]).toBe([100, 30, 4, 1][own]);
    }
  });
});

describe("recvSpan()", () => {
  const transfer = (sent: number, expected: number) =>
    simulate({ size: 2, segmentBytes: 16, delivery: "eager" }, (context, executor) =>
      context.rank === 0
        ? sendSpan(context, 1, executor.span(new Int32Array(sent)))
        : recvSpan(context, 0, executor.span(new Int32Array(expected))),
    );

  it("gets a message of the wrong length whenever the sender's length is another", async () => {
    for (let sent = 0; sent < 14; sent++) {
      for (let expected = 0; expected < 14; expected++) {
        if (sent === expected) await transfer(sent, expected);
        else await expect(transfer(sent, expected)).rejects.toThrow(/bytes were sent and/);
      }
    }
  });
});
