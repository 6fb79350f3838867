import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { compare } from "../../src/link/webrtc/compare.ts";
import { connect } from "../../src/link/webrtc/connect.ts";
import { DataChannel, MOST_MESSAGE_BYTES } from "../../src/link/webrtc/data-channel.ts";
import { WebRtcLink, WINDOW_BYTES } from "../../src/link/webrtc/link.ts";
import { decodeSignal, encodeSignal } from "../../src/link/webrtc/signal.ts";
import { loadPeerConnection } from "../../src/node/webrtc/peer-connection.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { encodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { countingReceiver } from "../helpers/counting-receiver.ts";
import { openChannels } from "../helpers/data-channels.ts";

const headerOf = (payloadBytes: number) =>
  encodeHeader(
    {
      ...{ kind: FrameKind.DATA, flags: 0, peer: 0, epoch: 0, slot: 0 },
      ...{ group: 7, sequence: 1, payloadBytes, request: 0 },
    },
    null,
  );

/** A description as this runtime makes it. */
async function description(): Promise<string> {
  const Connection = await loadPeerConnection();
  const connection = new Connection();
  connection.createDataChannel("x", { negotiated: true, id: 0 });
  const { sdp } = await connection.createOffer();
  connection.close();
  return sdp!;
}

describe("a signal", () => {
  it("comes as it was told", async () => {
    const sdp = await description();
    expect(decodeSignal(encodeSignal({ type: "offer", sdp }), "offer")).toEqual({ type: "offer", sdp });
    const none = { type: "none", reason: "x".repeat(9_000) } as const;
    expect(decodeSignal(encodeSignal(none), "answer")).toEqual({ type: "none", reason: "x".repeat(1_024) });
  });

  it("is refused if it is anything but one encrypted data channel with few candidates", async () => {
    const sdp = await description();
    const candidate = "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n";
    const wrong: readonly [name: string, value: unknown][] = [
      ["of the other type", { type: "answer", sdp }],
      ["of no type", { sdp }],
      ["a list", [sdp]],
      ["no text", { type: "offer", sdp: 7 }],
      ["empty", { type: "offer", sdp: "" }],
      ["a video", { type: "offer", sdp: sdp.replace("m=application", "m=video") }],
      ["a video besides", { type: "offer", sdp: `${sdp}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n` }],
      ["not encrypted", { type: "offer", sdp: sdp.replace("a=fingerprint", "a=x") }],
      ["65 candidates", { type: "offer", sdp: sdp + candidate.repeat(65) }],
      ["too long", { type: "offer", sdp: sdp + "a=x\r\n".repeat(9_000) }],
      ["a long reason", { type: "none", reason: "x".repeat(2_000) }],
    ];
    expect(decodeSignal(encodeControl({ type: "offer", sdp: sdp + candidate.repeat(64) }), "offer").type).toBe("offer");
    for (const [name, value] of wrong) {
      expect(() => decodeSignal(encodeControl(value), "offer"), name).toThrow(/signal|control message/);
    }
  });

  it("is refused, and throws nothing else, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decodeSignal(bytes, "offer")).toThrow(expect.objectContaining({ name: "ProtocolError" }));
      }),
    );
  });
});

describe("connect()", () => {
  it("tells the other rank why there is no way, and rejects with what the other tells", async () => {
    const Connection = await loadPeerConnection();
    const told: unknown[] = [];
    const hears = (signal: Promise<never> | object) => ({
      tell: async (own: unknown) => void told.push(own),
      hear: async () => (await signal) as never,
    });
    const garbage = Promise.reject(new Error("the store has garbage"));
    await expect(connect(new DataChannel(new Connection()), false, hears(garbage), 5_000)).rejects.toThrow("garbage");
    expect(told).toEqual([{ type: "none", reason: "the store has garbage" }]);
    const none = hears({ type: "none", reason: "it has no network" });
    await expect(connect(new DataChannel(new Connection()), true, none, 5_000)).rejects.toThrow(
      /no channel: it has no network/,
    );
    expect(told).toMatchObject([{}, { type: "offer" }]);
    const nonsense = hears({ type: "offer", sdp: "v=0\r\nnonsense" });
    await expect(connect(new DataChannel(new Connection()), false, nonsense, 5_000)).rejects.toThrow();
    expect(told[2]).toMatchObject({ type: "none" });
  });
});

describe("WebRtcLink", () => {
  it("has no more on the way than its window, until the other side reads", async () => {
    const [near, far] = await openChannels();
    const link = new WebRtcLink(near, () => {});
    const other = new WebRtcLink(far, () => {});
    link.start(countingReceiver().listener);
    const frameBytes = WINDOW_BYTES / 4;
    const frames = 12;
    let sent = 0;
    for (let i = 0; i < frames; i++) link.send(headerOf(frameBytes), new Uint8Array(frameBytes), () => sent++);
    expect(sent).toBe(3);
    let cameBytes = 0;
    const { came, listener } = countingReceiver((_, payload) => {
      payload.fill?.({
        ...{ into: new Uint8Array(payload.byteLength), cancelled: false, onCancelled: null },
        done: () => {
          cameBytes += payload.byteLength;
        },
      });
    });
    other.start(listener);
    await vi.waitFor(() => expect(cameBytes).toBe(frames * frameBytes), { timeout: 20_000 });
    expect({ sent, ...came }).toEqual({ sent: frames, frames, closes: 0 });
    link.close();
    await vi.waitFor(() => expect(came.closes).toBe(1), { timeout: 10_000 });
  });

  it.each<[string, (far: DataChannel) => void]>([
    ["an empty piece", (far) => far.send(new Uint8Array(0))],
    ["a piece that begins otherwise", (far) => far.send(Uint8Array.of(2, 1, 1))],
    ["a frame that is cut off", (far) => far.send(Uint8Array.of(1, ...headerOf(3).slice(0, 9)))],
    ["fewer bytes than a frame declares", (far) => far.send(Uint8Array.of(1, ...headerOf(3), 7))],
    ["a message longer than any may be", (far) => far.send(new Uint8Array(MOST_MESSAGE_BYTES + 1))],
    ["a text longer than any may be", (far) => far.send("1".repeat(MOST_MESSAGE_BYTES + 1))],
    ["a text that is no number", (far) => far.send("a text")],
    ["a count of what was not sent", (far) => far.send("1")],
    ["a count below 0", (far) => far.send("-1")],
    ["a count past all numbers", (far) => far.send("9".repeat(400))],
  ])("closes once, and throws nowhere, when what comes is %s", async (_, send) => {
    const [near, far] = await openChannels();
    const errors: unknown[] = [];
    const { came, listener } = countingReceiver();
    new WebRtcLink(near, (error) => errors.push(error)).start(listener);
    send(far);
    await vi.waitFor(() => expect(came.closes).toBe(1), { timeout: 10_000 });
    expect(errors).toEqual([expect.objectContaining({ name: "ProtocolError" })]);
  });

  it("closes when its receiver refuses a frame", async () => {
    const [near, far] = await openChannels();
    const errors: unknown[] = [];
    const { came, listener } = countingReceiver(() => {
      throw new Error("refused");
    });
    new WebRtcLink(near, (error) => errors.push(error)).start(listener);
    new WebRtcLink(far, () => {}).send(headerOf(1), Uint8Array.of(1));
    await vi.waitFor(() => expect(came.closes).toBe(1), { timeout: 10_000 });
    expect(errors).toEqual([new Error("refused")]);
  });

  it("closes, and gives back the bytes that wait, when the other end is gone", async () => {
    const [near, far] = await openChannels();
    const { came, listener } = countingReceiver();
    const link = new WebRtcLink(near, () => {});
    link.start(listener);
    let sent = 0;
    for (let i = 0; i < 8; i++) link.send(headerOf(WINDOW_BYTES / 4), new Uint8Array(WINDOW_BYTES / 4), () => sent++);
    far.terminate();
    await vi.waitFor(() => expect({ ...came, sent }).toEqual({ frames: 0, closes: 1, sent: 8 }), { timeout: 10_000 });
  });
});

describe("a DataChannel that nobody reads", () => {
  it.each([MOST_MESSAGE_BYTES, 3_000])(
    "is closed when more waits than its bound, in messages of %i bytes",
    async (bytes) => {
      const [near, far] = await openChannels();
      const isClosed = () => near.connection.connectionState === "closed";
      const message = new Uint8Array(bytes);
      let sentBytes = 0;
      while (!isClosed() && sentBytes < 2 ** 26) {
        for (const end = sentBytes + 2 ** 20; sentBytes < end; sentBytes += bytes) far.send(message);
        // No more than this runtime's own buffer holds.
        await vi.waitFor(async () => expect(isClosed() || sentBytes - (await bytesOut(far)) < 2 ** 22).toBe(true), {
          timeout: 20_000,
          interval: 5,
        });
      }
      expect(isClosed()).toBe(true);
      expect(sentBytes).toBeGreaterThan(2 * WINDOW_BYTES);
      let came = 0;
      await new Promise<void>((onClose) => near.read({ onMessage: () => came++, onClose }));
      expect(came).toBe(0);
    },
  );
});

/** Bytes that have left this end. */
async function bytesOut(channel: DataChannel): Promise<number> {
  for (const stat of (await channel.connection.getStats()).values())
    if (stat.type === "data-channel") return stat.bytesSent;
  throw new Error("the runtime tells nothing of its data channel");
}

describe("compare()", () => {
  it("finds the same at both ends, though the hub is slower for one of them", async () => {
    const [near, far] = await openChannels();
    const [first, second] = await Promise.all([
      compare(near, 100_000, Promise.resolve(3)),
      compare(far, 100_000, Promise.resolve(9)),
    ]);
    expect(first).toEqual(second);
    expect(first.hubMs).toBe(6);
    expect(first.channelMs).toBeGreaterThan(0);
    near.terminate();
  });

  it.each(["took 1 2", "took NaN 1.000", "took 1.000", "nothing"])(
    "rejects when the other end says %s",
    async (text) => {
      const [near, far] = await openChannels();
      far.send(text);
      await expect(compare(near, 1_000, Promise.resolve(1))).rejects.toThrow(/no comparison/);
      near.terminate();
    },
  );

  it("rejects when the channel closes, or the hub fails", async () => {
    for (const end of ["channel", "hub"] as const) {
      const [near, far] = await openChannels();
      const hub = end === "hub" ? Promise.reject(new Error("no hub")) : new Promise<number>(() => {});
      hub.catch(() => {});
      const comparing = compare(near, 1_000, hub);
      const failed = expect(comparing).rejects.toThrow(end === "hub" ? "no hub" : "closed");
      void compare(far, 1_000, Promise.resolve(1)).catch(() => {});
      if (end === "channel") far.terminate();
      await failed;
      near.terminate();
    }
  });
});
