import { describe, expect, it, vi } from "vitest";
import { MessagePortLink } from "../../src/link/message-port/link.ts";
import { MessagePortLinks } from "../../src/link/message-port/links.ts";
import type { PortExchange } from "../../src/platform.ts";
import { encodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { countingReceiver } from "../helpers/counting-receiver.ts";

const HEADER = encodeHeader(
  {
    ...{
      kind: FrameKind.DATA,
      flags: 0,
      peer: 0,
      epoch: 0,
      slot: 0,
      group: 7,
      sequence: 1,
      payloadBytes: 3,
      request: 0,
    },
  },
  null,
);

describe("MessagePortLink", () => {
  it("takes no memory away from its sender", async () => {
    const { port1, port2 } = new MessageChannel();
    const link = new MessagePortLink(port1, () => {});
    const other = new MessagePortLink(port2, () => {});
    const { came, listener } = countingReceiver();
    other.start(listener);
    const payload = Uint8Array.of(1, 2, 3);
    link.send(HEADER, payload);
    expect([payload.length, HEADER.length > 0]).toEqual([3, true]);
    await vi.waitFor(() => expect(came.frames).toBe(1));
    link.close();
    other.close();
  });

  it.each([
    ["no frame", "text"],
    ["a frame that is cut off", HEADER.slice(0, 9).buffer],
    ["nothing but a number", 7],
    ["an object", { byteLength: 64 }],
  ])("closes, and throws nowhere, when what comes is %s", async (_, message) => {
    const { port1, port2 } = new MessageChannel();
    const errors: unknown[] = [];
    const { came, listener } = countingReceiver();
    new MessagePortLink(port2, (error) => errors.push(error)).start(listener);
    port1.postMessage(message);
    await vi.waitFor(() => expect(came).toEqual({ frames: 0, closes: 1 }));
    expect(errors).toHaveLength(1);
    port1.close();
  });

  it("closes when its receiver refuses a frame, and when the peer's tab has ended, each once", async () => {
    const { port1, port2 } = new MessageChannel();
    const refused: unknown[] = [];
    const { came, listener } = countingReceiver(() => {
      throw new Error("refused");
    });
    const link = new MessagePortLink(port2, (error) => refused.push(error));
    link.start(listener);
    new MessagePortLink(port1, () => {}).send(HEADER, Uint8Array.of(1, 2, 3));
    await vi.waitFor(() => expect(came.closes).toBe(1));
    expect(refused).toEqual([new Error("refused")]);
    link.ended();
    expect(came.closes).toBe(1);
    port1.close();
  });
});

describe("MessagePortLinks", () => {
  /** Exchanges at two seats, each of which gives the other its ports. */
  function exchanges(): [PortExchange, PortExchange] {
    const both: PortExchange[] = [0, 1].map((seat) => ({
      ...{ room: "r", seat, onPort: () => {}, close: () => {} },
      give: (to, port) => both[to]?.onPort(seat, port),
    }));
    return both as [PortExchange, PortExchange];
  }

  it.each([
    ["before", true],
    ["after", false],
  ])("links two tabs when the one that calls does so %s the other waits", async (_, early) => {
    const [first, second] = exchanges().map((exchange) => new MessagePortLinks(exchange, () => {}));
    const waiting = early ? null : second!.link(0, false);
    const calling = await first!.link(1, true);
    const answering = await (waiting ?? second!.link(0, false));
    const { came, listener } = countingReceiver();
    answering.start(listener);
    calling.send(HEADER, Uint8Array.of(1, 2, 3));
    await vi.waitFor(() => expect(came.frames).toBe(1));
    second!.ended(0);
    expect(came.closes).toBe(1);
    calling.close();
  });
});
