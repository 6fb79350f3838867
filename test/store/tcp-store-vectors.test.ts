/** The recorded bytes of PyTorch's clients against this server, and of its servers against this client. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { TimeoutError } from "../../src/errors.ts";
import { ByteQueue } from "../../src/node/tcp-store/byte-queue.ts";
import { type Dialect, encodeQuery, Op } from "../../src/node/tcp-store/queries.ts";
import { type Query, QueryReader } from "../../src/node/tcp-store/query-reader.ts";
import { TcpServer } from "../../src/node/tcp-store/tcp-server.ts";
import { TcpStore } from "../../src/node/tcp-store/tcp-store.ts";
import { PrefixStore } from "../../src/store/prefix-store.ts";
import type { Store } from "../../src/store/store.ts";
import { isLate, queriesOf, RECORDINGS, resultOf, type Step, stepsOf, type Vector } from "./tcp-vectors.ts";

/** A connection of bytes. */
class RawClient {
  readonly socket: Socket;
  readonly #bytes = new ByteQueue();
  #wake = () => {};

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes) => {
      this.#bytes.push(bytes);
      this.#wake();
    });
  }

  async read(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#bytes.take(count);
  }
}

/** The strings of a list_keys reply, in no order. */
const sortedList = (reply: Buffer) => {
  const strings: string[] = [];
  for (let at = 8; at < reply.length; ) {
    const length = Number(reply.readBigUInt64LE(at));
    strings.push(reply.toString("latin1", at + 8, at + 8 + length));
    at += 8 + length;
  }
  return strings.sort();
};

describe.each(RECORDINGS)("TcpServer and the bytes of a client of $name", ({ vectors, dialect }) => {
  it("answers with the bytes of PyTorch's server", async () => {
    expect(vectors.length).toBeGreaterThan(30);
    const server = await TcpServer.open({ host: "127.0.0.1", port: 0 });
    onTestFinished(() => server.close());
    const other = await TcpStore.connect({ port: server.port });
    let client: RawClient | null = null;
    let compared = 0;
    for (const vector of vectors) {
      const steps = stepsOf(vector);
      if (vector.op === "connect" || vector.op === "clone") client = new RawClient(server.port);
      if (vector.op === "disconnect") {
        client?.socket.destroy();
        client = null;
      }
      if (steps.length > 0 && !client) {
        client = new RawClient(server.port);
        if (dialect === "2.x") client.socket.write(Buffer.from("00cef7853c", "hex"));
      }
      for (const { sent, reply } of steps) {
        client!.socket.write(sent);
        if (isLate(vector)) await writeLate(other, sent, dialect);
        const got = await client!.read(reply.length);
        const isList = vector.op === "list_keys";
        expect(isList ? sortedList(got) : got, JSON.stringify(vector)).toEqual(isList ? sortedList(reply) : reply);
        compared += reply.length;
      }
    }
    expect(compared).toBeGreaterThan(100);
    client?.socket.destroy();
    await other.close();
  });
});

/** Another client writes each key for which a wait waits. */
async function writeLate(other: TcpStore, sent: Buffer, dialect: Dialect): Promise<void> {
  const [query] = queriesOf(sent, dialect);
  if (query?.op !== Op.WAIT) return;
  for (const key of query.strings.map((bytes) => bytes.toString().slice(1))) {
    if (key.startsWith("q")) await other.queuePush(key, "L");
    else if (!(await other.check([key]))) await other.set(key, "L");
  }
}

/**
 * A server that knows the recorded bytes alone. This library's client asks by a check, which this server answers itself, whether
 * it has to wait; where PyTorch's client waited, and what it asked otherwise, must be asked in the same bytes.
 */
class ReplayServer {
  readonly server = createServer((socket) => this.#serve(socket));
  readonly #dialect: Dialect;
  #steps: Step[] = [];
  #sent = Buffer.alloc(0);
  #waits = false;
  /** Queries that nobody recorded. */
  readonly surprises: string[] = [];

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  /** The call that comes next. */
  expectCall(vector: Vector): void {
    this.#steps = vector.op === "connect" ? stepsOf(vector).filter(({ sent }) => !isGreeting(sent)) : stepsOf(vector);
    this.#waits = isLate(vector) || vector.error !== undefined;
    this.#sent = Buffer.alloc(0);
  }

  /** Has all that was recorded been asked? */
  get isDone(): boolean {
    return this.#steps.length === 0;
  }

  #serve(socket: Socket): void {
    const reader = new QueryReader();
    let isFirst = true;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      reader.push(bytes);
      for (let query = reader.next(); query; query = reader.next()) {
        if (reader.dialect !== this.#dialect) return socket.destroy();
        if (isFirst)
          socket.write(Buffer.alloc(8).fill(integerOf(query, this.#dialect), 0, 4).subarray(0, greetingBytes(query)));
        else this.#answer(socket, query);
        isFirst = false;
      }
    });
  }

  #answer(socket: Socket, query: Query): void {
    const [step] = this.#steps;
    const bytes = encodeQuery(query.op, this.#dialect, query.strings, query.integer);
    const wanted = step ? queriesOf(step.sent.subarray(this.#sent.length), this.#dialect)[0] : undefined;
    if (query.op === Op.CHECK && wanted?.op !== Op.CHECK) {
      const isReady =
        wanted?.op === Op.WAIT && !this.#waits && Buffer.concat(query.strings).equals(Buffer.concat(wanted.strings));
      if (isReady) this.#steps.shift();
      socket.write(Buffer.of(isReady ? 0 : 1));
      return;
    }
    if (query.op === Op.QUEUE_POP && wanted?.op === Op.WAIT) {
      // It looks into the queue before it waits.
      socket.write(this.#waits ? Buffer.alloc(8) : this.#steps[1]!.reply);
      if (!this.#waits) this.#steps.splice(0, 2);
      return;
    }
    this.#sent = Buffer.concat([this.#sent, bytes]);
    if (!step?.sent.subarray(0, this.#sent.length).equals(this.#sent)) {
      this.surprises.push(bytes.toString("hex"));
      return;
    }
    if (this.#sent.length < step.sent.length) return;
    this.#sent = Buffer.alloc(0);
    this.#steps.shift();
    socket.write(step.reply);
  }
}

const isGreeting = (sent: Buffer) => sent.subarray(0, 5).toString("hex") === "00cef7853c";
const greetingBytes = (query: Query) => (query.op === Op.NUM_KEYS ? 8 : 4);
/** What a greeting asks to be repeated. */
function integerOf(query: Query, dialect: Dialect): Buffer {
  const bytes = Buffer.alloc(4);
  if (dialect === "2.x") bytes.writeUInt32LE(Number(query.integer));
  return bytes;
}

const bigOf = (value: unknown) => BigInt((value as { int?: string }).int ?? (value as number));

/** The call of this library that does what PyTorch's did, or null where it has none. */
const CALLS: Readonly<Record<string, (store: TcpStore, args: never[]) => Promise<unknown>>> = {
  set: (store, [key, value]) => store.set(key!, value!),
  get: (store, [key]) => store.get(key!),
  add: async (store, [key, amount]) => Number(await store.add(key!, bigOf(amount))),
  compare_set: (store, [key, expected, desired]) => store.compareSet(key!, expected!, desired!),
  check: (store, [keys]) => store.check(keys!),
  wait: (store, [keys]) => store.wait(keys!),
  delete_key: (store, [key]) => store.deleteKey(key!),
  num_keys: (store) => store.numKeys(),
  append: (store, [key, value]) => store.append(key!, value!),
  multi_set: (store, [keys, values]) => store.multiSet(keys!, values!),
  multi_get: (store, [keys]) => store.multiGet(keys!),
  queue_push: (store, [key, value]) => store.queuePush(key!, value!),
  queue_pop: (store, [key, block = true]) => store.queuePop(key!, { block: block as boolean }),
  queue_len: (store, [key]) => store.queueLen(key!),
  list_keys: (store) => store.listKeys(),
  'PrefixStore("pre").set': (store, [key, value]) => prefixed(store).set(key!, value!),
  'PrefixStore("pre").add': (store, [key, amount]) => prefixed(store).add(key!, amount! as number),
};

const prefixed = (store: Store) => new PrefixStore("pre", store);

/** multi_get of no keys, and 1.13's timeouts of a wait, leave the wire untouched here. */
const isSilent = ({ op, arguments: [keys] }: Vector) => op === "multi_get" && Array.isArray(keys) && keys.length === 0;

describe.each(RECORDINGS)("TcpStore and the bytes of a server of $name", ({ vectors, dialect }) => {
  it("asks what PyTorch's client asked, and understands the answers", async () => {
    const replay = new ReplayServer(dialect);
    replay.server.listen(0, "127.0.0.1");
    await once(replay.server, "listening");
    onTestFinished(() => void replay.server.close());
    const { port } = replay.server.address() as AddressInfo;
    let store: TcpStore | null = null;
    let calls = 0;
    for (const vector of vectors) {
      if (vector.order.length === 0 && vector.error !== undefined) continue;
      if (vector.op === "disconnect") {
        await store?.close();
        store = null;
        continue;
      }
      replay.expectCall(vector);
      if (vector.op === "connect") {
        const [{ world_size }] = vector.arguments as [{ world_size: number | null }];
        store = await TcpStore.connect({ port, ...(world_size === null ? {} : { worldSize: world_size }) });
      }
      store ??= await TcpStore.connect({ port });
      const call = CALLS[vector.op];
      if (!call || isSilent(vector)) continue;
      calls++;
      store.timeoutMs = vector.error === undefined ? 60_000 : 30;
      const outcome = call(store, vector.arguments as never[]);
      const what = JSON.stringify(vector);
      if (vector.error === "QueueEmptyError") await expect(outcome, what).rejects.toThrow(/is empty/);
      else if (vector.error) await expect(outcome, what).rejects.toThrow(TimeoutError);
      else {
        const expected = resultOf(vector.result);
        const got = await outcome;
        expect(typeof expected === "bigint" ? BigInt(Number(expected)) : expected, what).toEqual(
          typeof expected === "bigint" ? BigInt(got as number) : (got ?? null),
        );
      }
      await expect.poll(() => replay.isDone, { message: what }).toBe(true);
      expect(replay.surprises, what).toEqual([]);
    }
    expect(calls).toBeGreaterThan(20);
    await store?.close();
  });
});
