/** NodeSocket over real connections, with `ws` at the other end. */
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Socket } from "../../src/link/link.ts";
import { totalBytes } from "../../src/link/payload/fragments.ts";
import { readInPlace } from "../../src/node/read-in-place.ts";
import { NodeSocket } from "../../src/node/socket.ts";
import { UPGRADE_OPTIONS, Upgrade } from "../../src/node/upgrade.ts";
import { connected } from "../helpers/connected.ts";

const MIB = 2 ** 20;
const LENGTHS = [0, 1, 125, 126, 4_096, 4_097, 65_535, 65_536, 3 * MIB + 1];
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + length) % 256);

const joined = (parts: readonly Uint8Array[]) => Buffer.concat(parts);

/** The next `count` messages, in one piece each. */
function messages(socket: Socket, count: number): Promise<Buffer[]> {
  const all: Buffer[] = [];
  return new Promise((resolve) => {
    socket.onMessage = (fragments) => {
      if (all.push(joined(fragments)) === count) resolve(all);
    };
  });
}

const closing = (socket: Socket) =>
  new Promise<[number, string]>((resolve) => {
    socket.onClose = (code, reason) => resolve([code, reason]);
  });

/** A NodeSocket at the server, and the `ws` client it is connected to. */
async function serverAndWs(): Promise<{ socket: NodeSocket; ws: WebSocket }> {
  const server = new WebSocketServer({ ...UPGRADE_OPTIONS, port: 0, host: "127.0.0.1", WebSocket: Upgrade });
  onTestFinished(() => void server.close());
  const accepted = new Promise<NodeSocket>((resolve) => {
    server.on("connection", (ws, request) => {
      resolve(new NodeSocket(request.socket, new Uint8Array(0), { side: "server", maxMessageBytes: 16 * MIB }));
      void ws;
    });
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const ws = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  onTestFinished(() => ws.terminate());
  const [socket] = await Promise.all([accepted, new Promise((resolve) => ws.once("open", resolve))]);
  onTestFinished(() => socket.terminate());
  return { socket, ws };
}

/** A NodeSocket at the client, and the `ws` of the server it is connected to. */
async function clientAndWs(): Promise<{ socket: NodeSocket; ws: WebSocket }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  onTestFinished(() => void server.close());
  const accepted = new Promise<WebSocket>((resolve) => server.once("connection", resolve));
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const upgrade = new Upgrade(`ws://127.0.0.1:${port}`, UPGRADE_OPTIONS);
  const socket = await new Promise<NodeSocket>((resolve) => {
    upgrade.onUpgraded = (net, head) =>
      resolve(new NodeSocket(net, head, { side: "client", maxMessageBytes: 16 * MIB }));
  });
  onTestFinished(() => socket.terminate());
  return { socket, ws: await accepted };
}

for (const [side, open] of [
  ["server", serverAndWs],
  ["client", clientAndWs],
] as const) {
  describe(`NodeSocket at the ${side}, ws at the other end`, () => {
    it("exchanges messages of every length, in one part or more, whole or in fragments", async () => {
      const { socket, ws } = await open();
      const theirs: Buffer[] = [];
      const heard = new Promise<void>((resolve) => {
        ws.on("message", (data: Buffer) => theirs.push(data) === 2 * LENGTHS.length && resolve());
      });
      for (const length of LENGTHS) {
        const bytes = pattern(length);
        socket.send([bytes]);
        socket.send([bytes.subarray(0, 1), bytes.subarray(1, 5_000), bytes.subarray(5_000)]);
      }
      await heard;
      expect(theirs.map((data, i) => Buffer.compare(data, pattern(LENGTHS[i >> 1]!)))).toEqual(theirs.map(() => 0));

      const ours = messages(socket, 2 * LENGTHS.length);
      for (const length of LENGTHS) {
        const bytes = pattern(length);
        ws.send(bytes);
        ws.send(bytes.subarray(0, 3), { fin: false });
        ws.ping();
        ws.send(bytes.subarray(3, 70_000), { fin: false });
        ws.send(bytes.subarray(70_000), { fin: true });
      }
      const got = await ours;
      expect(got.map((data, i) => Buffer.compare(data, pattern(LENGTHS[i >> 1]!)))).toEqual(got.map(() => 0));
    });

    it("streams a message's bytes as they come, and those that waited before", async () => {
      const { socket, ws } = await open();
      const first = messages(socket, 1);
      ws.send(pattern(10));
      await first;
      socket.release();
      const ponged = new Promise((resolve) => ws.once("pong", resolve));
      ws.send(pattern(11));
      ws.ping();
      await ponged;
      const got: Buffer[] = [];
      let message: Uint8Array[] = [];
      const done = new Promise<void>((resolve) => {
        const push = (bytes: Uint8Array, last: boolean) => {
          message.push(bytes.slice());
          if (!last) return;
          got.push(joined(message));
          message = [];
          if (got.length === 3) resolve();
        };
        socket.streamTo({ push, room: () => null });
      });
      ws.send(pattern(0));
      ws.send(pattern(MIB));
      await done;
      expect(got.map((data, i) => Buffer.compare(data, pattern([11, 0, MIB][i]!)))).toEqual([0, 0, 0]);
    });

    it("reads a long message's bytes to where they belong, and not those behind it", async () => {
      const { socket, ws } = await open();
      const into = new Uint8Array(MIB);
      const after = new Uint8Array(3 * MIB);
      let [inPlace, arrived] = [0, 0];
      const bothCame = new Promise<void>((resolve) => {
        const push = (bytes: Uint8Array) => {
          if (bytes.buffer === into.buffer) inPlace += bytes.byteLength;
          else if (arrived < MIB) into.set(bytes, arrived);
          else after.set(bytes, arrived - MIB);
          arrived += bytes.byteLength;
          if (arrived === 4 * MIB) resolve();
        };
        const room = () => (arrived < MIB ? into.subarray(arrived) : null);
        socket.streamTo({ push, room });
      });
      const whole = pattern(MIB);
      ws.send(whole);
      ws.send(pattern(MIB / 2));
      ws.send(pattern(2 * MIB + MIB / 2));
      await bothCame;
      expect(Buffer.compare(into, whole)).toBe(0);
      expect(Buffer.compare(after.subarray(0, MIB / 2), pattern(MIB / 2))).toBe(0);
      expect(Buffer.compare(after.subarray(MIB / 2), pattern(2 * MIB + MIB / 2))).toBe(0);
      expect(inPlace).toBeGreaterThan(MIB - 64 * 1024);
    });

    it("closes with code and reason, from either end", async () => {
      const here = await open();
      const told = new Promise<[number, string]>((resolve) =>
        here.ws.once("close", (code, reason) => resolve([code, reason.toString()])),
      );
      const answered = closing(here.socket);
      here.socket.send([pattern(100_000)]);
      here.socket.close(1008, "refused");
      expect([await told, await answered]).toEqual([
        [1008, "refused"],
        [1008, "refused"],
      ]);

      const there = await open();
      const closed = closing(there.socket);
      there.ws.close(1001, "going");
      expect(await closed).toEqual([1001, "going"]);
    });

    it("says 1006 where the connection ends without a close, and calls onSent all the same", async () => {
      const { socket, ws } = await open();
      const closed = closing(socket);
      socket.pause();
      let sent = 0;
      ws.pause();
      for (let i = 0; i < 40; i++) socket.send([pattern(MIB)], () => sent++);
      expect(socket.bufferedBytes).toBeGreaterThan(0);
      socket.resume();
      ws.terminate();
      expect((await closed)[0]).toBe(1006);
      await new Promise<void>((resolve) => socket.send([pattern(1)], resolve));
      expect(sent).toBe(40);
      expect(socket.bufferedBytes).toBe(0);
    });

    it("refuses text with 1003 and a message above the cap with 1009, and tells its owner so", async () => {
      for (const [message, code] of [
        ["text", 1003],
        [new Uint8Array(17 * MIB), 1009],
      ] as const) {
        const { socket, ws } = await open();
        ws.on("error", () => {});
        const closed = closing(socket);
        const told = new Promise<number>((resolve) => ws.once("close", resolve));
        ws.send(message);
        expect([(await closed)[0], await told]).toEqual([code, code]);
      }
    });

    it("does not read while it is paused", async () => {
      const { socket, ws } = await open();
      socket.pause();
      for (let i = 0; i < 64; i++) ws.send(pattern(MIB));
      const before = socket.bytesRead;
      const got = messages(socket, 64);
      // What the operating system takes for a socket that is not read is far less.
      for (let last = -1; last !== ws.bufferedAmount; await new Promise(setImmediate)) last = ws.bufferedAmount;
      expect(ws.bufferedAmount).toBeGreaterThan(0);
      expect(socket.bytesRead).toBe(before);
      socket.resume();
      expect(totalBytes(await got)).toBe(64 * MIB);
    });
  });
}

describe("NodeSocket", () => {
  it("leaves nothing that keeps a process alive when it is closed after its connection was lost", async () => {
    const { socket, ws } = await serverAndWs();
    const closed = closing(socket);
    ws.terminate();
    await closed;
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    socket.close();
    expect(timers()).toBe(before);
  });

  it("keeps a message that came in very many pieces in few", async () => {
    const { client, accepted } = await connected();
    client.setNoDelay();
    const socket = new NodeSocket(accepted, new Uint8Array(0), { side: "server", maxMessageBytes: MIB });
    const whole = pattern(3_000);
    const got = new Promise<readonly Uint8Array[]>((resolve) => {
      socket.onMessage = resolve;
    });
    client.write(new Uint8Array([0x82, 0xfe, 3_000 >> 8, 3_000 & 255, 0, 0, 0, 0]));
    for (let i = 0; i < whole.byteLength; i++) {
      client.write(whole.subarray(i, i + 1));
      while (socket.bytesRead < 8 + i + 1) await new Promise(setImmediate);
    }
    const fragments = await got;
    expect(Buffer.compare(joined(fragments), whole)).toBe(0);
    expect(fragments.length).toBe(Math.floor(3_000 / 512) + (3_000 % 512));
  });

  it("hears all that has come before it hears of the end, though its time slice is over", async () => {
    const { client, accepted } = await connected();
    const options = { side: "server", maxMessageBytes: MIB, isSliced: true } as const;
    const socket = new NodeSocket(accepted, new Uint8Array(0), options);
    const frame = new Uint8Array([0x82, 0x81, 0, 0, 0, 0, 7]);
    let heard = 0;
    socket.onMessage = () => {
      for (const end = performance.now() + 0.1; performance.now() < end; );
      // The answer to one who is gone fails, and ends the connection.
      if (heard++ === 0) client.resetAndDestroy();
      socket.send([frame]);
    };
    const closed = closing(socket);
    client.write(Buffer.concat(Array<Uint8Array>(1_000).fill(frame)));
    await closed;
    expect(heard).toBeGreaterThan(10);
    expect(heard).toBe(socket.bytesRead / frame.byteLength);
    await new Promise(setImmediate);
    expect(heard).toBe(socket.bytesRead / frame.byteLength);
  });
});

describe("readInPlace()", () => {
  it("takes over the connections of both sides: every read lies in one buffer", async () => {
    const buffers = new Set<ArrayBufferLike>();
    let bytes = 0;
    let arrived = () => {};
    const onBytes = (chunk: Uint8Array) => {
      buffers.add(chunk.buffer);
      bytes += chunk.byteLength;
      arrived();
    };
    const { accepted, client } = await connected();
    const ends = [accepted, client].map((net) => readInPlace(net, { onBytes, room: (buffer) => buffer })!);
    for (const { net } of ends) onTestFinished(() => void net.destroy());
    for (const { net } of ends) {
      bytes = 0;
      const all = new Promise<void>((resolve) => {
        arrived = () => bytes === MIB && resolve();
      });
      net.write(pattern(MIB));
      await all;
    }
    expect(buffers.size).toBe(1);
  });

  it("reads to where it is told, also into shared memory, and no longer once that is reset", async () => {
    const lent = new Uint8Array(new SharedArrayBuffer(MIB));
    const { accepted: here, client: there } = await connected();
    onTestFinished(() => void there.destroy());
    const got: Uint8Array[] = [];
    let arrived = () => {};
    const reads = readInPlace(here, {
      onBytes: (bytes) => {
        got.push(bytes.buffer === lent.buffer ? bytes : bytes.slice());
        // While bytes are handed over, the next room has not been asked for yet.
        reads.reset();
        arrived();
      },
      room: () => lent,
    })!;
    onTestFinished(() => void reads.net.destroy());
    const next = () =>
      new Promise<void>((resolve) => {
        arrived = resolve;
      });
    let came = next();
    there.write(pattern(1_000));
    await came;
    reads.reset();
    came = next();
    there.write(pattern(2_000));
    await came;
    expect(got.map((bytes) => bytes.buffer === lent.buffer)).toEqual([true, false]);
    expect(Buffer.compare(joined(got), joined([pattern(1_000), pattern(2_000)]))).toBe(0);
    expect(Buffer.compare(lent.subarray(0, 1_000), pattern(1_000))).toBe(0);
    expect(lent.subarray(1_000).every((byte) => byte === 0)).toBe(true);
  });
});
