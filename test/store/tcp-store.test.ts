import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { ProtocolError, StoreError, TimeoutError } from "../../src/errors.ts";
import { encodeQuery, Op } from "../../src/node/tcp-store/queries.ts";
import { CLIENT_LIMITS, type ClientLimits } from "../../src/node/tcp-store/served-socket.ts";
import { TcpServer } from "../../src/node/tcp-store/tcp-server.ts";
import { type TcpListenOptions, TcpStore } from "../../src/node/tcp-store/tcp-store.ts";
import { freePort, isFree } from "../helpers/free-port.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const VALIDATE = Buffer.from("00cef7853c", "hex");
const u64 = (value: bigint | number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const bytesOf = (value: string) => Buffer.from(value);

async function listen(options: TcpListenOptions = {}): Promise<TcpStore> {
  const store = await TcpStore.listen(options);
  onTestFinished(() => store.close());
  return store;
}

async function openServer(limits: Partial<ClientLimits> = {}): Promise<{ server: TcpServer; healthy: TcpStore }> {
  const server = await TcpServer.open({ host: "127.0.0.1", port: 0, limits });
  const healthy = await TcpStore.connect({ port: server.port });
  onTestFinished(async () => {
    await healthy.close();
    await server.close();
  });
  return { server, healthy };
}

function raw(port: number): { socket: Socket; closed: Promise<unknown> } {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  const closed = new Promise((resolve) => socket.once("close", resolve));
  return { socket, closed };
}

describe("TcpStore", () => {
  it("waits for all processes, and tells how many came where some do not", async () => {
    const port = await freePort();
    const opening = TcpStore.listen({ port, worldSize: 3, timeoutMs: 5_000 });
    const clients = await Promise.all([1, 2].map(() => TcpStore.connect({ port, worldSize: 3 })));
    const store = await opening;
    expect(await store.numKeys()).toBe(1);
    await Promise.all([...clients, store].map((one) => one.close()));
    await expect(TcpStore.listen({ port, worldSize: 3, timeoutMs: 1_500 })).rejects.toThrow(
      "Timed out after 1.5 seconds waiting for clients. 1/3 clients joined.",
    );
    expect(await isFree(port)).toBe(true);
    const early = await listen({ port, worldSize: 3, waitForWorkers: false });
    expect(await early.numKeys()).toBe(0);
  });

  it("counts the clients that joined as a key, as PyTorch does", async () => {
    const store = await listen({ worldSize: 1 });
    await store.set("key", "1");
    expect(await store.numKeys()).toBe(2);
    const open = await listen({ worldSize: -1 });
    await open.set("key", "1");
    expect(await open.numKeys()).toBe(1);
  });

  it("has the port that it was given, or a free one, and says which backend was asked", async () => {
    const port = await freePort();
    expect(await listen({ port, useLibUv: false })).toMatchObject({ host: "127.0.0.1", port, libuvBackend: false });
    const store = await listen();
    expect(store).toMatchObject({ libuvBackend: true });
    expect(store.port).toBeGreaterThan(0);
  });

  it("counts its calls", async () => {
    const store = await listen();
    for (let i = 0; i < 3; i++) await store.set("key", "1");
    await store.get("key");
    const counters = store.collectClientCounters();
    expect(counters).toMatchObject({ set: { count: 3 }, get: { count: 1 } });
    expect(counters.get!.meanMs).toBeGreaterThan(0);
  });

  it("shares a server inside a process with multiTenant, and refuses the port without", async () => {
    const port = await freePort();
    const [first, second] = await Promise.all([1, 2].map(() => TcpStore.listen({ port, multiTenant: true })));
    await first!.set("key", "shared");
    expect(text(await second!.get("key"))).toBe("shared");
    await expect(TcpStore.listen({ port })).rejects.toThrow(/already in use/);
    await first!.close();
    expect(text(await second!.get("key"))).toBe("shared");
    await second!.close();
    expect(await isFree(port)).toBe(true);
    const any = await listen({ multiTenant: true });
    const same = await listen({ port: any.port, multiTenant: true });
    await same.set("key", "1");
    expect(await any.check(["key"])).toBe(true);
  });

  it("listens at a socket that is bound already", async () => {
    const bound = createServer() as Server & { _handle: { fd: number } };
    bound.listen(0, "127.0.0.1");
    await once(bound, "listening");
    const { port } = bound.address() as { port: number };
    const program = fileURLToPath(new URL("programs/listen-fd.ts", import.meta.url));
    const listenAt = (wanted: number) => {
      const stdio = ["ignore", "pipe", "inherit", bound._handle.fd] as const;
      const child = spawn(process.execPath, ["--import", "tsx", program, String(wanted)], { stdio: [...stdio] });
      onTestFinished(() => void child.kill("SIGKILL"));
      return once(child.stdout!, "data").then(([said]) => String(said));
    };
    const refusal = `RangeError: TcpStore.listen: masterListenFd 3 is bound to port ${port}`;
    expect(await listenAt(port === 1 ? 2 : 1)).toContain(refusal);
    const listening = listenAt(port);
    // The child has the socket now: what comes is for it alone.
    bound.close();
    expect(await listening).toBe("listening");
    const store = await TcpStore.connect({ port });
    expect(text(await store.get("from"))).toBe("the child");
    await store.close();
  });

  it("refuses options that cannot be, and binds beyond loopback only where the caller insists", async () => {
    for (const options of [{ worldSize: 0 }, { worldSize: 1.5 }, { port: -1 }, { port: 65_536 }, { timeoutMs: -1 }]) {
      await expect(TcpStore.listen(options), JSON.stringify(options)).rejects.toThrow(RangeError);
    }
    await expect(TcpStore.connect({ port: 0 })).rejects.toThrow(RangeError);
    await expect(TcpStore.connect({} as never)).rejects.toThrow(/port is undefined/);
    await expect(TcpStore.listen({ host: "0.0.0.0" })).rejects.toThrow(/a TCPStore has no secret: pass insecure: true/);
    const store = await listen({ host: "0.0.0.0", insecure: true });
    await store.set("key", "1");
  });

  it("comes to a server that starts later, and says where nobody answered", async () => {
    const port = await freePort();
    const connecting = TcpStore.connect({ port, timeoutMs: 20_000 });
    await expect(TcpStore.connect({ port, timeoutMs: 100 })).rejects.toThrow(
      /no TCPStore answered at 127.0.0.1:\d+ within 100 ms: .*ECONNREFUSED/,
    );
    await listen({ port });
    await (await connecting).close();
  });

  it("says that something else listens there", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const silent = createServer(() => {});
    for (const one of [server, silent]) {
      one.listen(0, "127.0.0.1");
      await once(one, "listening");
      onTestFinished(() => void one.close());
    }
    const portOf = (one: Server) => (one.address() as { port: number }).port;
    await expect(TcpStore.connect({ port: portOf(server), timeoutMs: 2_000 })).rejects.toThrow(ProtocolError);
    await expect(TcpStore.connect({ port: portOf(silent), timeoutMs: 100 })).rejects.toThrow(TimeoutError);
  });

  it("loses nothing of what was sent before an add that the server refuses, or behind it", async () => {
    const store = await listen();
    const other = await TcpStore.connect({ port: store.port });
    await other.set("word", "text");
    const calls = Array.from({ length: 50 }, (_, i) => [
      other.set(`a${i}`, String(i)),
      other.add("word", 1).then(
        () => "added",
        (error: unknown) => (error instanceof StoreError ? "refused" : String(error)),
      ),
      other.add("counter", 1),
      other.set(`b${i}`, String(i)),
    ]).flat();
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((outcome) => outcome === "refused")).toHaveLength(50);
    expect(await store.numKeys()).toBe(102);
    expect(await store.add("counter", 0)).toBe(50);
    await other.close();
  });

  it("tells every pending call, and every later one, that the server is gone", async () => {
    const { server } = await openServer();
    const store = await TcpStore.connect({ port: server.port });
    const pending = [store.get("never"), store.queuePop("never")].map((call) =>
      expect(call).rejects.toThrow(StoreError),
    );
    await store.check(["never"]);
    await server.close();
    await Promise.all(pending);
    await expect(store.add("counter", 1)).rejects.toThrow(StoreError);
    await expect(store.set("key", "1")).rejects.toThrow(/closed/);
    await store.close();
  });

  it("close() sees that pipelined writes have come", async () => {
    const store = await listen();
    const writer = await TcpStore.connect({ port: store.port });
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => writer.set(String(i), "x".repeat(1_000))));
    await writer.close();
    expect(await store.numKeys()).toBe(2_000);
  });

  it("serves 20 clients with 300 mixed calls each: none is lost, counters are exact", async () => {
    const { server, healthy } = await openServer();
    const clients = await Promise.all(Array.from({ length: 20 }, () => TcpStore.connect({ port: server.port })));
    await Promise.all(
      clients.map(async (client, id) => {
        for (let i = 0; i < 60; i++) {
          await Promise.all([
            client.set(`${id}/${i}`, String(i)),
            client.add("counter", 1),
            client.append(`log/${id}`, "x"),
            client.queuePush("queue", String(id)),
            client.compareSet(`c/${i}`, "", String(id)),
          ]);
        }
        await client.wait(Array.from({ length: 20 }, (_, other) => `${other}/59`));
        await client.close();
      }),
    );
    expect(await healthy.add("counter", 0)).toBe(1_200);
    expect(await healthy.queueLen("queue")).toBe(1_200);
    expect(await healthy.numKeys()).toBe(20 * 60 + 1 + 20 + 60);
    expect((await healthy.multiGet(clients.map((_, id) => `log/${id}`))).map(({ length }) => length)).toEqual(
      Array(20).fill(60),
    );
  });
});

/** What a client sends that no client should, and what becomes of its connection alone. */
const HOSTILE: readonly [string, Buffer][] = [
  ["an unknown number", Buffer.concat([VALIDATE, Buffer.of(0x13)])],
  ["an unknown number of 1.x", Buffer.of(0x07)],
  ["another magic later", Buffer.concat([VALIDATE, Buffer.of(0, 1, 2, 3, 4)])],
  ["a key of 2^40 bytes", Buffer.concat([VALIDATE, Buffer.of(Op.GET), u64(2n ** 40n)])],
  ["a key of 2^64 - 1 bytes", Buffer.concat([Buffer.of(Op.GET), u64(2n ** 64n - 1n)])],
  ["a value of 2^33 bytes", Buffer.concat([VALIDATE, Buffer.of(Op.SET), u64(1), bytesOf("k"), u64(2n ** 33n)])],
  ["2^60 keys", Buffer.concat([VALIDATE, Buffer.of(Op.WAIT), u64(2n ** 60n)])],
  ["a key that is no UTF-8", Buffer.concat([VALIDATE, Buffer.of(Op.GET), u64(2), Buffer.of(0xff, 0xfe)])],
  [
    "an add to a text",
    Buffer.concat([
      VALIDATE,
      encodeQuery(Op.SET, "2.x", [bytesOf("/t"), bytesOf("text")]),
      encodeQuery(Op.ADD, "2.x", [bytesOf("/t")], 1n),
    ]),
  ],
  [
    "an add past 64 bits",
    Buffer.concat([
      VALIDATE,
      encodeQuery(Op.SET, "2.x", [bytesOf("/t"), bytesOf("9223372036854775807")]),
      encodeQuery(Op.ADD, "2.x", [bytesOf("/t")], 1n),
    ]),
  ],
  [
    "more waits than one client may have",
    Buffer.concat([VALIDATE, ...Array.from({ length: 1_025 }, () => encodeQuery(Op.WAIT, "2.x", [bytesOf("/never")]))]),
  ],
  [
    "a reply of gigabytes",
    Buffer.concat([
      VALIDATE,
      encodeQuery(Op.SET, "2.x", [bytesOf("/big"), Buffer.alloc(8 * 2 ** 20)]),
      encodeQuery(Op.MULTI_GET, "2.x", Array(300).fill(bytesOf("/big"))),
    ]),
  ],
];

describe("TcpServer", () => {
  it.each(HOSTILE)("closes the connection of a client that sends %s, and no other", async (_name, bytes) => {
    const { server, healthy } = await openServer();
    const { socket, closed } = raw(server.port);
    socket.write(bytes);
    await closed;
    await healthy.set("key", "1");
    expect(text(await healthy.get("key"))).toBe("1");
  });

  it("holds no more of a declared length than has come", async () => {
    const { server, healthy } = await openServer();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 40; i++) {
      raw(server.port).socket.write(
        Buffer.concat([VALIDATE, Buffer.of(Op.SET), u64(1), bytesOf("k"), u64(60 * 2 ** 20)]),
      );
    }
    for (let i = 0; i < 100; i++) await healthy.add("counter", 1);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  it("closes a client whose query does not come whole, and leaves a silent one alone", async () => {
    const { server } = await openServer({ halfQueryMs: 100 });
    const silent = raw(server.port);
    let isClosed = false;
    void silent.closed.then(() => {
      isClosed = true;
    });
    const half = raw(server.port);
    half.socket.write(Buffer.concat([VALIDATE, Buffer.of(Op.SET), u64(5)]));
    await half.closed;
    const dripping = raw(server.port);
    dripping.socket.write(Buffer.concat([VALIDATE, Buffer.of(Op.SET), u64(1), bytesOf("k"), u64(1_000)]));
    const drip = setInterval(() => dripping.socket.write("x"), 10);
    await dripping.closed;
    clearInterval(drip);
    expect(isClosed).toBe(false);
  });

  it("stops reading a client that reads no replies, and closes it in time", async () => {
    const { server, healthy } = await openServer({ slowReaderMs: 200 });
    await healthy.set("big", new Uint8Array(2 ** 20));
    await healthy.check(["big"]);
    const { socket, closed } = raw(server.port);
    socket.pause();
    socket.write(
      Buffer.concat([VALIDATE, ...Array.from({ length: 500 }, () => encodeQuery(Op.GET, "2.x", [bytesOf("/big")]))]),
    );
    const before = process.memoryUsage().rss;
    await expect.poll(() => socket.writableLength === 0 || socket.destroyed).toBe(true);
    await healthy.add("counter", 1);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    // A connection that is paused hears of its end when it writes.
    await expect
      .poll(() => {
        if (!socket.destroyed) socket.write("x");
        return socket.destroyed;
      })
      .toBe(true);
    await closed;
  });

  it("understands queries in any pieces, and any bytes end no more than their connection", async () => {
    const { server, healthy } = await openServer();
    let names = 0;
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat(40), { maxLength: 20 }),
      async (noise, cuts) => {
        const key = `/key ${names++}`;
        const bytes = Buffer.concat([
          VALIDATE,
          encodeQuery(Op.MULTI_SET, "2.x", [bytesOf(key), bytesOf("1"), bytesOf(`${key}b`), Buffer.from(noise)]),
          encodeQuery(Op.ADD, "2.x", [bytesOf(key)], 1n),
        ]);
        const { socket } = raw(server.port);
        const reply = once(socket, "data");
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + 1 + (cuts[i] ?? bytes.length);
          socket.write(bytes.subarray(at, end));
          await new Promise((resolve) => setImmediate(resolve));
          at = end;
        }
        expect((await reply)[0]).toEqual(u64(2));
        socket.end(noise);
        expect(await healthy.get(`${key.slice(1)}b`)).toEqual(noise);
      },
    );
    await fc.assert(property, { numRuns: 60 });
    expect(CLIENT_LIMITS.dialects).toHaveLength(2);
  });
});
