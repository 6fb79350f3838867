import { describe, expect, it } from "vitest";
import { send } from "../../src/algorithm/context.ts";
import { broadcastDirect } from "../../src/algorithm/messages/broadcast-direct.ts";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import type { Link } from "../../src/link/link.ts";
import { consoleLogger } from "../../src/logger.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { decodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { FINGERPRINT } from "./memory-exchanges.ts";
import { simulate } from "./simulate.ts";

describe("send()", () => {
  it("has handed host memory to the exchange when it returns", async () => {
    const executor = await createCpuExecutor();
    await simulate({ size: 2, segmentBytes: 64, delivery: "eager" }, async (context) => {
      if (context.rank === 1) return context.exchange.recv(0, new Uint8Array(16), 0);
      const sent = send({ ...context, executor }, 1, executor.span(viewOf(new Int32Array(4))));
      expect(context.exchange.traffic.messagesSent).toBe(1);
      await sent;
    });
  });

  it("leaves a rank nothing to announce whose first message goes to the next rank", async () => {
    const kinds: number[] = [];
    const link: Link = {
      kind: "websocket",
      send: (header) => kinds.push(decodeHeader(header).kind),
      start: () => {},
      close: () => {},
    };
    const logger = consoleLogger(() => "OFF");
    const mesh = new Mesh({ rank: 0, epoch: 0, links: new Map([[1, link]]), logger });
    const channel = mesh.open({ group: 1, name: "pair", ranks: [0, 1], logger, onDead: () => {} });
    const exchange = channel.open(1, FINGERPRINT);
    const executor = await createCpuExecutor();
    const shape = { rank: 0, size: 2, hub: null, region: null, segmentBytes: 64, segmentsInFlight: 2 };
    void broadcastDirect({ ...shape, executor, exchange }, executor.span(viewOf(new Int32Array(4))), 0);
    void channel.agree(exchange);
    expect(kinds).toEqual([FrameKind.DATA]);
  });
});
