import { describe, expect, it } from "vitest";
import type { Context } from "../../src/algorithm/context.ts";
import { pipelined, recvSpan, sendSpan } from "../../src/algorithm/pipeline.ts";
import { simulate } from "./simulate.ts";

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

describe("recvSpan()", () => {
  const transfer = (sent: number, expected: number, segmentBytes: number) =>
    simulate({ size: 2, segmentBytes, delivery: "eager" }, (context, executor) =>
      context.rank === 0
        ? sendSpan(context, 1, executor.span(new Int32Array(sent)))
        : recvSpan(context, 0, executor.span(new Int32Array(expected))),
    );

  it.each([16, 128])("gets a wrong length whenever the sender's is another, segments of %d bytes", async (bytes) => {
    const lengths = Array.from({ length: bytes === 16 ? 14 : 100 }, (_, count) => count).filter(
      (count) => bytes === 16 || [0, 1, 2, 3].includes(count % 30) || [0, 1, 2].includes(count % 32),
    );
    for (const sent of lengths) {
      for (const expected of lengths) {
        if (sent === expected) await transfer(sent, expected, bytes);
        else await expect(transfer(sent, expected, bytes)).rejects.toThrow(/bytes were sent and/);
      }
    }
  });
});

describe("sendSpan()", () => {
  it.each([
    [0, 1],
    [1, 1],
    [29, 1],
    [30, 2],
    [31, 1],
    [32, 1],
    [33, 2],
    [60, 3],
    [64, 3],
    [62, 2],
    [512, 17],
    [510, 18],
  ])("sends %d elements, segments of 32, in %d messages", async (count, messages) => {
    const { traffic } = await simulate({ size: 2, segmentBytes: 128, delivery: "eager" }, (context, executor) => {
      const span = executor.span(new Int32Array(count));
      return context.rank === 0 ? sendSpan(context, 1, span) : recvSpan(context, 0, span);
    });
    expect(traffic[0]!.messagesSent).toBe(messages);
    expect(traffic[1]!.bytesReceived).toBe(count * 4);
  });
});
