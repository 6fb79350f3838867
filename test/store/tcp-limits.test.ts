/** What one client, or all of them, can make a TCPStore's server keep: each bound closes the connection that goes past it, and is told. */
import { connect, createServer } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { KeyServer } from "../../src/node/tcp-store/key-server.ts";
import { encodeQuery, MAX_KEY_BYTES, MAX_VALUE_BYTES, Op, VALIDATE_BYTES } from "../../src/node/tcp-store/queries.ts";
import { CLIENT_LIMITS, ServedSocket } from "../../src/node/tcp-store/served-socket.ts";
import { TcpServer, type TcpServerOptions } from "../../src/node/tcp-store/tcp-server.ts";
import { TcpStore } from "../../src/node/tcp-store/tcp-store.ts";
import { LiveSpace } from "../../src/store/live-space.ts";
import { Account } from "../../src/support/account.ts";

const MIB = 2 ** 20;
const bytesOf = (value: string) => Buffer.from(value);

/** A server, a client that must not notice anything, and all that the server has told. */
async function openServer(limits: TcpServerOptions["limits"] = {}) {
  const told: string[] = [];
  const silent = () => {};
  const logger = { error: silent, info: silent, debug: silent, warn: (text: string) => void told.push(text) };
  const server = await TcpServer.open({ host: "127.0.0.1", port: 0, limits, logger });
  const healthy = await TcpStore.connect({ port: server.port });
  onTestFinished(async () => {
    await healthy.close();
    await server.close();
  });
  return { server, healthy, told };
}

/** A client that sends `queries`. Resolves when the server has closed it. */
async function closedAfter(port: number, queries: readonly Uint8Array[]): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write(VALIDATE_BYTES);
  for (const query of queries) if (!socket.destroyed) socket.write(query);
  await closed;
}

/** The beginning of a query whose string declares so many bytes. */
function declaring(op: Op, before: readonly string[], length: number): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(length));
  const query = encodeQuery(op, "2.x", [...before, ""].map(bytesOf));
  return Buffer.concat([query.subarray(0, query.length - 8), size]);
}

const set = (key: string, value: Uint8Array) => encodeQuery(Op.SET, "2.x", [bytesOf(key), value]);
const wait = (...keys: string[]) => encodeQuery(Op.WAIT, "2.x", keys.map(bytesOf));
const repeated = (count: number, query: (i: number) => Buffer) => Array.from({ length: count }, (_, i) => query(i));

/** By bound: a server's limits where the bound is a large one, what goes past it, and what is told. */
const BOUNDS: Record<string, { limits?: TcpServerOptions["limits"]; queries: () => Buffer[]; told: RegExp }> = {
  "a value of more than 64 MiB": {
    queries: () => [declaring(Op.SET, ["key"], MAX_VALUE_BYTES + 1)],
    told: /67108865 bytes are more than the 67108864/,
  },
  "a key of more than 64 KiB": {
    queries: () => [declaring(Op.GET, [], MAX_KEY_BYTES + 1)],
    told: /65537 bytes are more than the 65536/,
  },
  "a value that grows past 64 MiB": {
    queries: () => repeated(5, () => encodeQuery(Op.APPEND, "2.x", [bytesOf("/key"), new Uint8Array(16 * MIB)])),
    told: /a value would be too long/,
  },
  "an answer of more than 64 MiB": {
    queries: () => [
      set("/big", new Uint8Array(33 * MIB)),
      encodeQuery(Op.MULTI_GET, "2.x", [bytesOf("/big"), bytesOf("/big")]),
    ],
    told: /a reply of \d+ bytes is too long/,
  },
  "keys without number": {
    limits: { storeBytes: MIB },
    queries: () => repeated(20_000, (i) => set(`/key ${i}`, new Uint8Array(0))),
    told: /the store is full/,
  },
  "values without number": {
    limits: { storeBytes: MIB },
    queries: () => repeated(20, (i) => set(`/key ${i}`, new Uint8Array(100_000))),
    told: /the store is full/,
  },
  "queues without end": {
    limits: { storeBytes: MIB },
    queries: () => repeated(20_000, () => encodeQuery(Op.QUEUE_PUSH, "2.x", [bytesOf("/queue"), new Uint8Array(10)])),
    told: /the store is full/,
  },
  "waits without number": {
    queries: () => repeated(1_025, () => wait("/never")),
    told: /more than 1024 waits of one client/,
  },
  "waits for very many keys": {
    limits: { clientBytes: MIB },
    queries: () => repeated(20, () => wait(...Array.from({ length: 1_000 }, (_, i) => `/never ${i}`))),
    told: /too many bytes are kept for this client/,
  },
  "a query that is not whole": {
    limits: { clientBytes: MIB },
    queries: () => [declaring(Op.SET, ["key"], 8 * MIB), Buffer.alloc(2 * MIB)],
    told: /too many bytes are kept for this client/,
  },
};

describe("a TCPStore's server closes who goes past a bound, says so, and serves the others", () => {
  it.each(Object.entries(BOUNDS))("%s", async (_name, { limits, queries, told }) => {
    const { server, healthy, told: said } = await openServer(limits);
    await healthy.set("mine", "1");
    await closedAfter(server.port, queries());
    expect(said.join()).toMatch(told);
    expect(said.join()).toContain("at 127.0.0.1");
    expect(await healthy.add("mine", 1)).toBe(2);
  });

  it("clients without number: those that are here stay", async () => {
    const { server, healthy, told } = await openServer({ clients: 3 });
    const second = await TcpStore.connect({ port: server.port });
    const third = await TcpStore.connect({ port: server.port });
    await closedAfter(server.port, []);
    await vi.waitFor(() => expect(told.join()).toContain("it has 3 clients, as many as it takes"));
    await third.close();
    expect(await healthy.add("n", 1)).toBe(1);
    expect(await second.add("n", 1)).toBe(2);
    const next = await TcpStore.connect({ port: server.port });
    expect(await next.add("n", 1)).toBe(3);
    await Promise.all([second.close(), next.close()]);
  });

  it("all clients together: the one for which the most is kept goes", async () => {
    const { server, healthy, told } = await openServer({ clientsBytes: 3 * MIB });
    const half = (bytes: number) => [declaring(Op.SET, ["key"], 8 * MIB), Buffer.alloc(bytes)];
    const small = connect(server.port, "127.0.0.1");
    onTestFinished(() => void small.destroy());
    small.write(Buffer.concat([VALIDATE_BYTES, ...half(MIB / 2)]));
    await closedAfter(server.port, half(4 * MIB));
    expect(told.join()).toContain("too many bytes are kept for this server");
    expect(small.destroyed).toBe(false);
    expect(await healthy.add("n", 1)).toBe(1);
  });

  it("tells of very many in few lines", async () => {
    const { server, told } = await openServer();
    for (let i = 0; i < 40; i++) await closedAfter(server.port, [Buffer.of(99)]);
    await vi.waitFor(() => expect(told.length).toBe(6));
    expect(told.at(-1)).toMatch(/99 is the number of no query; 32 were closed so far$/);
  });

  it("a query that is refused after much work: nothing behind it is done", async () => {
    const { server, healthy, told } = await openServer({ storeBytes: MIB });
    const pairs = Array.from({ length: 20_000 }, (_, i) => [`/key ${i}`, ""]).flat();
    const tooMany = encodeQuery(Op.MULTI_SET, "2.x", pairs.map(bytesOf));
    await closedAfter(server.port, [Buffer.concat([tooMany, set("/after", bytesOf("1"))])]);
    expect(told.join()).toMatch(/the store is full/);
    expect(await healthy.numKeys()).toBe(0);
  });
});

it("a client that has sent 200,000 adds does not hold up the one of another", async () => {
  const { server, healthy } = await openServer();
  const adds = 200_000;
  const busy = connect(server.port, "127.0.0.1");
  onTestFinished(() => void busy.destroy());
  const add = encodeQuery(Op.ADD, "2.x", [bytesOf("/n")], 1);
  await healthy.add("n", 0);
  busy.resume();
  busy.write(Buffer.concat([VALIDATE_BYTES, ...Array<Buffer>(adds).fill(add)]));
  expect(await healthy.add("n", 0)).toBeLessThan(adds / 8);
  await expect.poll(() => healthy.add("n", 0), { timeout: 60_000, interval: 100 }).toBe(adds);
});

it("does nothing for a client that is gone, whatever of it waits for its turn", async () => {
  const space = new LiveSpace();
  const keys = new KeyServer(space, new Account({ name: "this server", limit: Number.POSITIVE_INFINITY }));
  let tellClosed = () => {};
  const closed = new Promise<void>((resolve) => {
    tellClosed = resolve;
  });
  const door = createServer((socket) => {
    new ServedSocket(socket, keys, CLIENT_LIMITS);
    socket.on("data", () => socket.destroy());
    socket.on("close", () => tellClosed());
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void door.close());
  await new Promise((resolve) => door.once("listening", resolve));
  const client = connect((door.address() as { port: number }).port, "127.0.0.1");
  client.on("error", () => {});
  const add = encodeQuery(Op.ADD, "2.x", [bytesOf("/n")], 1);
  client.write(Buffer.concat([VALIDATE_BYTES, ...Array<Buffer>(100_000).fill(add)]));
  await closed;
  const done = () => new TextDecoder().decode(space.contents.get("/n"));
  const atTheEnd = done();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(done()).toBe(atTheEnd);
});
