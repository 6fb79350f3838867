import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { FileStore } from "../../src/node/file-store/file-store.ts";
import { startHub } from "../../src/node/hub.ts";
import { HubStore as ConnectedStore } from "../../src/node/index.ts";
import { RedisStore } from "../../src/node/redis-store/redis-store.ts";
import { TcpServer } from "../../src/node/tcp-store/tcp-server.ts";
import { TcpStore } from "../../src/node/tcp-store/tcp-store.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { HashStore } from "../../src/store/hash-store.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { PrefixStore } from "../../src/store/prefix-store.ts";
import { Store, type StoreValue } from "../../src/store/store.ts";
import { type StoreLimits, type StoreUnderTest, storeCases } from "../../src/testing/index.ts";
import { connectRedis, startRedis } from "../helpers/redis.ts";

async function makeHashStore(): Promise<StoreUnderTest> {
  const store = new HashStore();
  return { store, other: store, dispose: () => store.close() };
}

async function makePrefixStore(): Promise<StoreUnderTest> {
  const below = new HashStore();
  const at = () => new PrefixStore("inner", new PrefixStore("outer", below));
  return { store: at(), other: at(), dispose: () => below.close() };
}

async function makeFileStore(): Promise<StoreUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), "webccl-store-"));
  const store = new FileStore(join(folder, "store"));
  const other = new FileStore(join(folder, "store"));
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()]);
      rmSync(folder, { recursive: true });
    },
  };
}

async function makeHubStore(): Promise<StoreUnderTest> {
  const hub = await startHub({ port: 0 });
  const connect = async (rank: number) => {
    const hello = { group: "stores", rank, worldSize: 2, purpose: "hub", checksums: false } as const;
    const { socket, welcome } = await connectWebSocket(hub.url, hello, { timeoutMs: 5_000 });
    return new HubConnection(socket, welcome, hub.url);
  };
  const connections = await Promise.all([connect(0), connect(1)]);
  return {
    store: new HubStore(connections[0]!),
    other: new HubStore(connections[1]!),
    async dispose() {
      for (const connection of connections) connection.close();
      await hub.close();
    },
  };
}

async function makeConnectedStore(): Promise<StoreUnderTest> {
  const hub = await startHub({ port: 0, token: "secret" });
  const connect = () => ConnectedStore.connect(`${hub.url}/a%2Fb`, { token: "secret", timeoutMs: 300_000 });
  const [store, other] = await Promise.all([connect(), connect()]);
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()]);
      await hub.close();
    },
  };
}

/** A user's own store: the nine mandatory calls, and the rest as inherited. */
class MinimalStore extends Store {
  readonly #inner = new HashStore();
  set(key: string, value: StoreValue) {
    return this.#inner.set(key, value);
  }
  get(key: string) {
    return this.#inner.get(key, this.timeoutMs);
  }
  compareSet(key: string, expected: StoreValue, desired: StoreValue) {
    return this.#inner.compareSet(key, expected, desired);
  }
  add<N extends number | bigint>(key: string, amount: N) {
    return this.#inner.add(key, amount);
  }
  check(keys: readonly string[]) {
    return this.#inner.check(keys);
  }
  wait(keys: readonly string[], timeoutMs?: number) {
    return this.#inner.wait(keys, timeoutMs ?? this.timeoutMs);
  }
  deleteKey(key: string) {
    return this.#inner.deleteKey(key);
  }
  numKeys() {
    return this.#inner.numKeys();
  }
  close() {
    return this.#inner.close();
  }
}

async function makeMinimalStore(): Promise<StoreUnderTest> {
  const store = new MinimalStore();
  return { store, other: store, dispose: () => store.close() };
}

async function makeTcpStore(): Promise<StoreUnderTest> {
  const store = await TcpStore.listen();
  const other = await TcpStore.connect({ port: store.port });
  return {
    store,
    other,
    async dispose() {
      await other.close();
      await store.close();
    },
  };
}

/** Both clients speak the wire of PyTorch 1.x: they meet a server that closes whoever begins with a validate. */
async function makeOldTcpStore(): Promise<StoreUnderTest> {
  const server = await TcpServer.open({ host: "127.0.0.1", port: 0, limits: { dialects: ["1.x"] } });
  const connect = () => TcpStore.connect({ port: server.port });
  const [store, other] = await Promise.all([connect(), connect()]);
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()]);
      await server.close();
    },
  };
}

let redis = { url: "" };
let redisStores = 0;
const ends: (() => void)[] = [];
beforeAll(async () => {
  redis = await startRedis((end) => ends.push(end));
});
afterAll(() => {
  for (const end of ends) end();
});

async function makeRedisStore(): Promise<StoreUnderTest> {
  const prefix = `store ${redisStores++}`;
  const clients = await Promise.all([connectRedis(redis.url), connectRedis(redis.url)]);
  const [store, other] = clients.map((client) => new RedisStore(client, { prefix }));
  return {
    store: store!,
    other: other!,
    async dispose() {
      await Promise.all([store!.close(), other!.close()]);
      for (const client of clients) client.destroy();
    },
  };
}

const STORES: readonly [string, () => Promise<StoreUnderTest>, StoreLimits?][] = [
  ["HashStore", makeHashStore],
  ["PrefixStore", makePrefixStore, { staysOpen: true }],
  ["FileStore", makeFileStore, { cannotDelete: true }],
  ["HubStore", makeHubStore],
  ["HubStore.connect", makeConnectedStore],
  ["TcpStore", makeTcpStore],
  ["TcpStore on the wire of PyTorch 1.x", makeOldTcpStore],
  ["RedisStore", makeRedisStore],
  ["a subclass of Store", makeMinimalStore],
];

describe.each(STORES)("%s", (_name, make, limits) => {
  it.each(storeCases(limits).map((one) => [one.name, one] as const))("%s", async (_case, { run }) => {
    await run(make);
  });
});
