/** The hub as its members see it: admission, relay, store calls and losses. Long, as one table of what its contract promises. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { AbortedError, AdmissionError, HubLostError, StoreError, TimeoutError } from "../../src/errors.ts";
import { splitFrame } from "../../src/link/payload/fragments.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { encodeHeader, FrameKind, HEADER_BYTES, HUB_PEER, peerOf, setPeer } from "../../src/wire/frame.ts";
import { closeOf, dataFrame, join, joinConnection, openHub } from "./support.ts";

const MIB = 2 ** 20;

describe("Hub relay", () => {
  it("passes frames between two members, bytes as they were, with the sender's rank in the peer field (S15)", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    const sizes = [0, 1, 5, 1000, 65_536, 3 * MIB + 7];
    const payloads = sizes.map((size) => new Uint8Array(size).map((_, i) => (i * 31 + size) % 251));
    for (const payload of payloads)
      zero.connection.sendFrame(dataFrame(1, payload.length), payload.length ? payload : null);
    one.connection.sendFrame(dataFrame(0, 3), new Uint8Array([7, 8, 9]));
    await one.until(() => one.frames.length === sizes.length);
    await zero.until(() => zero.frames.length === 1);
    one.frames.forEach(({ peer, header, payload }, i) => {
      expect(peer).toBe(0);
      expect(Buffer.from(payload).equals(Buffer.from(payloads[i]!))).toBe(true);
      const expected = dataFrame(1, payloads[i]!.length);
      setPeer(expected, 0);
      expect([...header]).toEqual([...expected]);
    });
    expect(zero.frames[0]).toMatchObject({ peer: 1, payload: new Uint8Array([7, 8, 9]) });
  });

  it("keeps groups of the same hub apart", async () => {
    const hub = await openHub();
    const [a0, a1, b0, b1] = await Promise.all([
      joinConnection(hub, { group: "a", rank: 0 }),
      joinConnection(hub, { group: "a", rank: 1 }),
      joinConnection(hub, { group: "b", rank: 0 }),
      joinConnection(hub, { group: "b", rank: 1 }),
    ]);
    a0.connection.sendFrame(dataFrame(1, 1), new Uint8Array([1]));
    b0.connection.sendFrame(dataFrame(1, 1), new Uint8Array([2]));
    await Promise.all([a1.until(() => a1.frames.length > 0), b1.until(() => b1.frames.length > 0)]);
    expect([...a1.frames[0]!.payload]).toEqual([1]);
    expect([...b1.frames[0]!.payload]).toEqual([2]);
    expect(await new HubStore(a0.connection).add("n", 1)).toBe(1);
    expect(await new HubStore(b0.connection).add("n", 1)).toBe(1);
  });

  it("drops and counts frames for a rank that is not there", async () => {
    const hub = await openHub();
    const { connection } = await joinConnection(hub);
    connection.sendFrame(dataFrame(1, 1), new Uint8Array([1]));
    connection.sendFrame(dataFrame(99, 1), new Uint8Array([1]));
    // Answered after the frames before it.
    await new HubStore(connection).numKeys();
    expect(hub.stats.droppedFrames).toBe(2);
  });

  it("holds a source back while its destination is paused: 256 MiB offered, high water + 32 MiB kept", async () => {
    const highWaterBytes = 16 * MIB;
    const hub = await openHub({ highWaterBytes });
    const [source, sink] = await Promise.all([join(hub, { rank: 0 }), join(hub, { rank: 1 })]);
    let received = 0;
    const hash = createHash("sha256");
    const expected = createHash("sha256");
    sink.socket.pause();
    const total = 256 * MIB;
    const payload = new Uint8Array(MIB);
    let offered = 0;
    let peak = 0;
    const done = new Promise<void>((resolve) => {
      sink.socket.onMessage = (fragments) => {
        const { head, payload } = splitFrame(fragments);
        if (peerOf(head) === HUB_PEER) return;
        for (const fragment of payload.fragments) {
          received += fragment.byteLength;
          hash.update(fragment);
        }
        if (received === total) resolve();
      };
    });
    const offer = () => {
      peak = Math.max(peak, hub.stats.bytesInFlight);
      if (offered === total) return;
      payload.fill((offered / MIB) % 256);
      expected.update(payload);
      offered += MIB;
      // The next is offered when the operating system has taken this one: while it does, nothing is held back.
      source.socket.send([dataFrame(1, MIB), payload], offer);
    };
    offer();
    while (hub.stats.bytesInFlight <= highWaterBytes) await setImmediate();
    // Turns of the event loop until nothing moves any more: the source is blocked with most of its bytes not offered yet.
    for (let still = 0, last = offered; still < 200; still = offered === last ? still + 1 : 0) {
      last = offered;
      await setImmediate();
    }
    expect(offered).toBeLessThan(total / 2);
    expect(hub.stats.bytesInFlight).toBeGreaterThan(highWaterBytes);
    expect(peak).toBeLessThan(highWaterBytes + 32 * MIB);
    sink.socket.resume();
    await done;
    expect(peak).toBeLessThan(highWaterBytes + 32 * MIB);
    expect(hash.digest("hex")).toBe(expected.digest("hex"));
  });

  it("holds back, and does not close, a source with many slow destinations", async () => {
    const hub = await openHub({ highWaterBytes: 4 * MIB, maxMessageBytes: 2 * MIB });
    const worldSize = 9;
    const source = await join(hub, { rank: 0, worldSize });
    const sinks = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((rank) => join(hub, { rank, worldSize })));
    for (const { socket } of sinks) socket.pause();
    const payload = new Uint8Array(MIB);
    let peak = 0;
    const sent: Promise<void>[] = [];
    for (let i = 0; i < 16; i++) {
      for (let rank = 1; rank < worldSize; rank++) {
        sent.push(
          new Promise((resolve) => {
            source.socket.send([dataFrame(rank, MIB), payload], () => {
              peak = Math.max(peak, hub.stats.bytesInFlight);
              resolve();
            });
          }),
        );
      }
    }
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBeGreaterThan(4 * MIB));
    const received = sinks.map(
      ({ socket }) =>
        new Promise<void>((resolve) => {
          let frames = 0;
          socket.onMessage = () => ++frames === 16 && resolve();
        }),
    );
    for (const { socket } of sinks) socket.resume();
    await Promise.all([...sent, ...received]);
    expect(peak).toBeLessThan(10 * MIB);
    expect(hub.stats.members).toBe(worldSize);
  });

  it("does not read a member that does not read the hub's answers", async () => {
    const hub = await openHub({ highWaterBytes: MIB });
    const { socket } = await join(hub);
    const other = await joinConnection(hub, { group: "other" });
    const { connection, socket: writer } = await joinConnection(hub, { rank: 1 });
    await new HubStore(connection).set("big", new Uint8Array(MIB));
    writer.pause();
    for (let i = 0; i < 200; i++) void connection.call("get", ["big", 60_000], 60_000).catch(() => {});
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBeGreaterThan(MIB));
    for (let turn = 0; turn < 100; turn++) await setImmediate();
    expect(hub.stats.bytesInFlight).toBeLessThan(64 * MIB);
    expect(await new HubStore(other.connection).numKeys()).toBe(0);
    socket.terminate();
  });
});

describe("Hub membership", () => {
  it("gives ranks in order of arrival where none is asked for", async () => {
    const hub = await openHub({ hostRank: 0 });
    const ranks: number[] = [];
    for (const rank of [null, 2, null]) {
      const { welcome } = await join(hub, { rank, worldSize: 3 });
      expect(welcome).toMatchObject({ worldSize: 3, epoch: 0, hostRank: 0 });
      ranks.push(welcome.rank);
    }
    expect(ranks).toEqual([0, 2, 1]);
    await expect(join(hub, { rank: null, worldSize: 3 })).rejects.toThrow(/full/);
  });

  it("tells all others who was lost, and turns away those who come later", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([
      joinConnection(hub, { rank: 0, worldSize: 3 }),
      joinConnection(hub, { rank: 1, worldSize: 3 }),
    ]);
    one.socket.terminate();
    await zero.until(() => zero.events.length === 1);
    expect(zero.events).toEqual([{ type: "lost", rank: 1, reason: expect.stringContaining("1006") }]);
    // The group will never be complete: whoever comes is for the next one of that name.
    for (const rank of [2, 1, null]) {
      const late = { group: "g", rank, worldSize: 3, purpose: "hub", checksums: false } as const;
      await expect(connectWebSocket(hub.url, late, { timeoutMs: 50 })).rejects.toThrow(AdmissionError);
    }
    const two = joinConnection(hub, { rank: 2, worldSize: 3 });
    zero.socket.terminate();
    expect((await two).welcome.rank).toBe(2);
  });

  it("tells who left after a goodbye, with the cause, and after all frames of that rank", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    one.connection.sendFrame(dataFrame(0, 1), new Uint8Array([1]));
    one.connection.goodbye(new AbortedError("enough", { group: "g", rank: 1, missingRanks: [0] }));
    one.connection.sendFrame(dataFrame(0, 1), new Uint8Array([2]));
    one.connection.close();
    await zero.until(() => zero.events.length === 1);
    expect(zero.frames.map(({ payload }) => payload[0])).toEqual([1]);
    const details = { group: "g", rank: 1, missingRanks: [0] };
    expect(zero.events).toEqual([{ type: "left", rank: 1, cause: { code: "ABORTED", message: "enough", details } }]);
    await one.until(() => one.events.length === 1);
    expect(zero.events.length).toBe(1);
  });

  it("refuses another world size and a rank out of range, with the reason", async () => {
    const hub = await openHub();
    await join(hub, { rank: 0, worldSize: 2 });
    await expect(join(hub, { rank: 1, worldSize: 3 })).rejects.toThrow(AdmissionError);
    await expect(join(hub, { rank: 1, worldSize: 3 })).rejects.toThrow(/world size 2.*says 3/);
    await expect(join(hub, { rank: 2, worldSize: 2 })).rejects.toThrow(/out of range/);
    await expect(join(hub, { purpose: "link" })).rejects.toThrow(/is a hub/);
  });

  it("lets a new group of the same name start once the old one has gone", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    await new HubStore(zero.connection).set("old", "1");
    one.connection.goodbye();
    one.connection.close();
    await zero.until(() => zero.events.length === 1);
    const again = joinConnection(hub, { rank: 1 });
    zero.connection.goodbye();
    zero.connection.close();
    expect(await new HubStore((await again).connection).check(["old"])).toBe(false);
  });

  it("drained() resolves when the last member has left, and turns newcomers away", async () => {
    const hub = await openHub();
    const { connection } = await joinConnection(hub);
    let drained = false;
    const draining = hub.drained("g", 60_000).then(() => {
      drained = true;
    });
    await new HubStore(connection).numKeys();
    expect(drained).toBe(false);
    connection.goodbye();
    await draining;
    await hub.drained("never there", 60_000);
    const late = { group: "g", rank: 0, worldSize: 2, purpose: "hub", checksums: false } as const;
    await expect(connectWebSocket(hub.url, late, { timeoutMs: 100 })).rejects.toThrow(/closing/);
  });

  it("drained() gives up after its timeout", async () => {
    const hub = await openHub();
    await join(hub);
    await hub.drained("g", 20);
    expect(hub.stats.members).toBe(1);
  });

  it("keeps no trace of a group after 100 cycles", async () => {
    const hub = await openHub();
    for (let cycle = 0; cycle < 100; cycle++) {
      const group = `cycle-${cycle}`;
      const [zero, one] = await Promise.all([
        joinConnection(hub, { group, rank: 0 }),
        joinConnection(hub, { group, rank: 1 }),
      ]);
      await new HubStore(zero.connection).set("key", "value");
      const abandoned = expect(new HubStore(one.connection).get("never")).rejects.toThrow(HubLostError);
      if (cycle % 2) zero.connection.goodbye();
      const closed = Promise.all([zero, one].map((member) => member.until(() => member.events.some(isClosed))));
      zero.connection.close();
      one.connection.terminate();
      await Promise.all([closed, abandoned]);
    }
    const door = { pendingConnections: 0, usedTickets: 0 };
    await vi.waitFor(() =>
      expect(hub.stats).toEqual({ rooms: 0, members: 0, bytesInFlight: 0, bytesKept: 0, droppedFrames: 0, ...door }),
    );
  });
});

const isClosed = (event: unknown) => (event as { type: string }).type === "closed";

describe("HubConnection", () => {
  it("delivers what came before start()", async () => {
    const hub = await openHub();
    const [{ socket }, one] = await Promise.all([join(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    one.connection.sendFrame(dataFrame(0, 1), new Uint8Array([5]));
    one.connection.goodbye();
    await one.until(() => true);
    const { HubConnection } = await import("../../src/link/hub/connection.ts");
    const late = new HubConnection(
      socket,
      { rank: 0, worldSize: 2, epoch: 0, hostRank: null, checksums: false },
      hub.url,
    );
    await new HubStore(late).wait([], 1_000);
    const heard = await new Promise<unknown[]>((resolve) => {
      const list: unknown[] = [];
      late.start({
        onFrame: (header, payload) => list.push([header.length, payload.byteLength]),
        onFold: () => list.push("fold"),
        onLost: () => list.push("lost"),
        onLeft: (rank) => resolve([...list, rank]),
        onDamaged: () => list.push("damaged"),
        onClosed: () => list.push("closed"),
      });
    });
    expect(heard).toEqual([[HEADER_BYTES, 1], 1]);
  });

  it("rejects pending and later calls with HubLostError when the hub goes", async () => {
    const hub = await openHub();
    const { connection, events, until } = await joinConnection(hub);
    const pending = expect(connection.call("get", ["never", 60_000], 60_000)).rejects.toThrow(HubLostError);
    await hub.close();
    await pending;
    await until(() => events.length > 0);
    expect(events).toEqual([{ type: "closed", code: 1001, reason: "hub closed" }]);
    await expect(connection.call("numKeys", [], 1_000)).rejects.toThrow(hub.url);
  });

  it("times out a call that the hub does not answer", async () => {
    const hub = await openHub();
    const { connection } = await joinConnection(hub);
    await expect(connection.call("get", ["never", 60_000], 20)).rejects.toThrow(TimeoutError);
  });

  it("gives the store's own errors, and refuses a value larger than a message", async () => {
    const hub = await openHub({ maxMessageBytes: MIB });
    const { connection } = await joinConnection(hub);
    const store = new HubStore(connection);
    await expect(connection.call("add", ["key", "one"], 1_000)).rejects.toThrow(/number/);
    await store.set("text", "x");
    await expect(store.add("text", 1)).rejects.toThrow(StoreError);
    await store.append("log", new Uint8Array(MIB / 2));
    await store.append("log", new Uint8Array(MIB / 2));
    await expect(store.get("log")).rejects.toThrow(StoreError);
    expect(await store.numKeys()).toBe(2);
  });

  it("closes a link on which the hub speaks what is no frame", async () => {
    const hub = await openHub();
    const { socket } = await join(hub, { rank: 0 });
    const bad = encodeHeader(
      {
        kind: FrameKind.DATA,
        flags: 0,
        peer: HUB_PEER,
        epoch: 0,
        slot: 0,
        group: 0,
        sequence: 0,
        payloadBytes: 0,
        request: 0,
      },
      null,
    );
    socket.send([bad]);
    expect(await closeOf(socket)).toEqual({ code: 1002, reason: "protocol error" });
  });
});

describe("a hub's watch over its members", () => {
  it("S16 closes who leaves more than the high-water mark unread, and those who send to it go on", async () => {
    const hub = await openHub({ highWaterBytes: MIB, slowReaderMs: 200 });
    const [slow, writer, reader] = await Promise.all(
      [0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })),
    );
    slow!.socket.pause();
    for (let i = 0; i < 24; i++) writer!.connection.sendFrame(dataFrame(0, MIB), new Uint8Array(MIB));
    writer!.connection.sendFrame(dataFrame(2, 1), new Uint8Array([9]));
    const lost = () => reader!.events.filter((event) => (event as { type: string }).type === "lost");
    await reader!.until(() => lost().length > 0 && reader!.frames.length > 0);
    // All had heard for whose sake the writer was held back.
    expect(reader!.events[0]).toEqual({ type: "held", rank: 1, by: 0, isHeld: true });
    expect(lost()).toMatchObject([{ type: "lost", rank: 0, reason: expect.stringMatching(/not read for 200 ms/) }]);
    await vi.waitFor(() => expect(hub.stats).toMatchObject({ members: 2, bytesInFlight: 0 }));
  });

  it("says for whom it holds a member back that has too much in flight, though nobody is over the mark", async () => {
    // Half of its cap may wait in the hub.
    const hub = await openHub({ maxHubBytes: 8 * MIB });
    const [slow, writer, reader] = await Promise.all(
      [0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })),
    );
    slow!.socket.pause();
    for (let i = 0; i < 24; i++) writer!.connection.sendFrame(dataFrame(0, MIB), new Uint8Array(MIB));
    await reader!.until(() => reader!.events.length > 0);
    slow!.socket.resume();
    await reader!.until(() => reader!.events.length > 1);
    const held = { type: "held", rank: 1, by: 0 };
    expect(reader!.events.slice(0, 2)).toEqual([
      { ...held, isHeld: true },
      { ...held, isHeld: false },
    ]);
    await slow!.until(() => slow!.frames.length === 24);
  });

  it("gives a rank its seat again that was cut off before it could say anything, and tells nobody", async () => {
    const hub = await openHub();
    const zero = await joinConnection(hub, { rank: 0 });
    const { socket } = await join(hub, { rank: 1 });
    socket.terminate();
    await vi.waitFor(() => expect(hub.stats.members).toBe(1));
    const one = await joinConnection(hub, { rank: 1 });
    one.connection.sendFrame(dataFrame(0, 1), new Uint8Array([7]));
    await zero.until(() => zero.frames.length === 1);
    expect(zero.events).toEqual([]);
    one.socket.terminate();
    await zero.until(() => zero.events.length === 1);
    expect(zero.events).toMatchObject([{ type: "lost", rank: 1 }]);
  });

  it("tells of the loss of a rank that was cut off before it could say anything, and does not come again", async () => {
    const hub = await openHub();
    const zero = await joinConnection(hub, { rank: 0, worldSize: 3 });
    const { socket } = await join(hub, { rank: 1, worldSize: 3 });
    socket.terminate();
    await zero.until(() => zero.events.length === 1);
    expect(zero.events).toMatchObject([{ type: "lost", rank: 1 }]);
  });

  it("S14 closes who keeps sending to ranks there are not, and not who sends to one that has just gone", async () => {
    const hub = await openHub();
    const [zero, one, two] = await Promise.all([0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })));
    two!.socket.terminate();
    await zero!.until(() => zero!.events.length === 1);
    for (let i = 0; i < 200; i++) zero!.connection.sendFrame(dataFrame(2, 1), new Uint8Array(1));
    await zero!.connection.call("numKeys", [], 1_000);
    expect(hub.stats).toMatchObject({ droppedFrames: 200, members: 2 });
    for (const [frame, closes] of [
      [dataFrame(9, 1), one],
      [dataFrame(1, 1, { epoch: 3 }), zero],
    ] as const) {
      for (let i = 0; i < 65; i++) closes!.connection.sendFrame(frame, new Uint8Array(1));
      await closes!.until(() => closes!.events.some(isClosed));
      expect(closes!.events.find(isClosed)).toMatchObject({ code: 1002 });
    }
  });

  it("pings, so that a member that says nothing stays, and closes one that does not answer", async () => {
    const hub = await openHub({ silenceMs: 120 });
    const [quiet, frozen] = await Promise.all([joinConnection(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    frozen.socket.pause();
    await quiet.until(() => quiet.events.length > 0);
    expect(quiet.events).toMatchObject([{ type: "lost", rank: 1, reason: expect.stringMatching(/no sign of life/) }]);
    expect(hub.stats.members).toBe(1);
    await quiet.connection.call("numKeys", [], 1_000);
  });
});
