/**
 * `npm run nightly -- tcp-store-pytorch`: PyTorch's client against this server, this client against PyTorch's server, processes of
 * both at one barrier, and 100 clients with 1,000 calls each.
 */
import assert from "node:assert/strict";
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { initProcessGroup, StoreCollectives, TcpStore } from "../../../src/node/index.ts";
import { CALLS, type Outcome, TorchStore } from "../tcp-store.ts";

const python = pytorchPython();
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** This library's call for one of PyTorch's, and its outcome in PyTorch's form. */
const OURS: Readonly<Record<string, (store: TcpStore, args: never[]) => Promise<unknown>>> = {
  set: (store, [key, value]) => store.set(key!, value!).then(() => null),
  get: async (store, [key]) => ({ bytes: text(await store.get(key!)) }),
  add: async (store, [key, amount]) => ({ int: String(await store.add(key!, BigInt(amount!))) }),
  compare_set: async (store, [key, expected, desired]) => ({
    bytes: text(await store.compareSet(key!, expected!, desired!)),
  }),
  check: (store, [keys]) => store.check(keys!),
  wait: (store, [keys, limitMs]) => store.wait(keys!, limitMs!).then(() => null),
  delete_key: (store, [key]) => store.deleteKey(key!),
  num_keys: async (store) => ({ int: String(await store.numKeys()) }),
  append: (store, [key, value]) => store.append(key!, value!).then(() => null),
  multi_set: (store, [keys, values]) => store.multiSet(keys!, values!).then(() => null),
  multi_get: async (store, [keys]) => (await store.multiGet(keys!)).map((value) => ({ bytes: text(value) })),
  queue_push: (store, [key, value]) => store.queuePush(key!, value!).then(() => null),
  queue_pop: async (store, [key, block]) => ({ bytes: text(await store.queuePop(key!, { block: block! })) }),
  queue_len: async (store, [key]) => ({ int: String(await store.queueLen(key!)) }),
  list_keys: async (store) => (await store.listKeys()).sort(),
  // This client has none; to its server a barrier of one is a count.
  barrier: (store, [key]) => store.add(key!, 1).then(() => null),
  set_timeout: async (store, [limitMs]) => {
    store.timeoutMs = limitMs!;
    return null;
  },
};

/** An outcome without the words of its error, which differ. */
const comparable = ({ result = null, error }: Outcome) => (error ? { isError: true } : { result });

async function ownOutcome(store: TcpStore, [name, ...args]: readonly unknown[]): Promise<Outcome> {
  try {
    return { result: await OURS[String(name)]!(store, args as never[]) };
  } catch (error) {
    return { error: String(error) };
  }
}

async function compareCalls(): Promise<number> {
  const theirs = await TorchStore.server(python);
  const ours = await TcpStore.listen();
  const [onTheirs, onOurs] = [await TorchStore.client(python, theirs.port), await TorchStore.client(python, ours.port)];
  const second = await TorchStore.server(python);
  const own = await TcpStore.connect({ port: second.port });
  let compared = 0;
  const lacking = new Set<unknown>();
  /** Keys that a call which it lacks would have written: to ask for one would be a wait to its end. */
  const unwritten = new Set<unknown>();
  for (const call of CALLS) {
    if ([call[1]].flat().some((key) => unwritten.has(key))) continue;
    const outcome = await onTheirs.call(...call);
    if (outcome.error === "AttributeError") {
      // 1.x has no queues, nor lists of values.
      lacking.add(call[0]);
      for (const key of [call[1]].flat()) unwritten.add(key);
      continue;
    }
    const expected = comparable(outcome);
    assert.deepEqual(comparable(await onOurs.call(...call)), expected, `PyTorch's client, ${JSON.stringify(call)}`);
    assert.deepEqual(comparable(await ownOutcome(own, call)), expected, `this client, ${JSON.stringify(call)}`);
    compared++;
  }
  const without = lacking.size === 0 ? "" : `; it has no ${[...lacking].join(", ")}`;
  console.log(`${theirs.torch}: ${compared} calls alike, of PyTorch's client here and of this client there${without}`);
  await own.close();
  await ours.close();
  for (const store of [theirs.store, second.store, onTheirs, onOurs]) store.close();
  return compared;
}

/** Two processes of PyTorch and this one, with the keys of c10d's barrier. */
async function meetAtBarrier(where: string, port: number): Promise<void> {
  const store = await TcpStore.connect({ port });
  const peers = await Promise.all([1, 2].map(() => TorchStore.client(python, port)));
  for (const [i, peer] of peers.entries()) {
    await peer.call("add", "met/num_members", "1");
    await peer.call("set", `met/${i + 1}`, "joined");
  }
  const waiting = peers.map((peer) => peer.call("wait", ["met/last_members"], 20_000));
  await new StoreCollectives(store, 0, 3).barrier("met", 20_000);
  for (const outcome of await Promise.all(waiting)) assert.deepEqual(outcome, { result: null });
  for (const peer of peers) peer.close();
  await store.close();
  console.log(`two processes of PyTorch and one of Node met at ${where}`);
}

async function manyClients(): Promise<void> {
  const server = await TcpStore.listen();
  const clients = await Promise.all(Array.from({ length: 100 }, () => TcpStore.connect({ port: server.port })));
  await Promise.all(
    clients.map(async (client, id) => {
      for (let i = 0; i < 200; i++) {
        await client.set(`${id}/${i}`, String(i));
        await client.add("counter", 1);
        await client.append(`log ${id}`, "x");
        await client.queuePush("queue", "x");
        assert.equal(Number(text(await client.get(`${id}/${i}`)).length) > 0, true);
      }
      await client.close();
    }),
  );
  assert.equal(await server.add("counter", 0), 20_000);
  assert.equal(await server.queueLen("queue"), 20_000);
  assert.equal(await server.numKeys(), 100 * 200 + 1 + 100);
  for (let id = 0; id < 100; id++) assert.equal((await server.get(`log ${id}`)).length, 200);
  await server.close();
  console.log("100 clients with 1,000 calls each: none lost, counters exact");
}

await compareCalls();
const listener = await TcpStore.listen();
await meetAtBarrier("this server", listener.port);
await listener.close();
const torch = await TorchStore.server(python);
await meetAtBarrier("PyTorch's server", torch.port);
torch.store.close();
const group = await initProcessGroup({ initMethod: "tcp://127.0.0.1:29611", rank: 0, worldSize: 1 });
await meetAtBarrier("rank 0's port of tcp://", 29_611);
assert.equal(new TextDecoder().decode(await group.store.get("met/1")), "joined");
await group.destroy();
await manyClients();
