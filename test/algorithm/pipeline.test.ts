import { describe, expect, it } from "vitest";
import type { Context } from "../../src/algorithm/context.ts";
import { pipelined, recvSpan, sendSpan } from "../../src/algorithm/toolkit/pipeline.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
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
  const transfer = (sent: number, expected: number) =>
    simulate({ size: 2, segmentBytes: 16, delivery: "eager" }, (context, executor) =>
      context.rank === 0
        ? sendSpan(context, 1, executor.span(viewOf(new Int32Array(sent))))
        : recvSpan(context, 0, executor.span(viewOf(new Int32Array(expected)))),
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
