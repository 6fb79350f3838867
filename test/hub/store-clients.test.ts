import { afterEach, describe, expect, it, vi } from "vitest";
import { AdmissionError, StoreError, TimeoutError } from "../../src/errors.ts";
import { type HubServer, startHub } from "../../src/node/hub.ts";
import { HubStore, initProcessGroup } from "../../src/node/index.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";

let hub: HubServer;

afterEach(() => hub.close());

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const open = async () => {
  hub = await startHub({ port: 0, token: "secret" });
  return (name = "store") => HubStore.connect(`${hub.url}/${name}`, { token: "secret", timeoutMs: 5_000 });
};

describe("HubStore.connect()", () => {
  it("lets clients of one name come and go, and keeps the keys until the last has gone", async () => {
    const connect = await open();
    const [first, other] = [await connect(), await connect("other")];
    await first.set("key", "1");
    expect(await other.check(["key"])).toBe(false);
    const second = await connect();
    await first.close();
    const third = await connect();
    expect([text(await second.get("key")), text(await third.get("key"))]).toEqual(["1", "1"]);
    await Promise.all([second.close(), third.close()]);
    await vi.waitFor(() => expect(hub.stats.members).toBe(1));
    const late = await connect();
    expect(await late.check(["key"])).toBe(false);
    await Promise.all([late.close(), other.close()]);
    await vi.waitFor(() => expect(hub.stats).toMatchObject({ rooms: 0, members: 0 }));
  });

  it("has nothing in common with a group of that name", async () => {
    const connect = await open();
    const store = await connect("job");
    const options = { initMethod: `${hub.url}/job`, worldSize: 1, token: "secret" };
    const group = await initProcessGroup(options);
    await store.set("key", "mine");
    expect(await store.numKeys()).toBe(1);
    await group.destroy();
    expect(text(await store.get("key"))).toBe("mine");
    await store.close();
  });

  it("serves as the store at which ranks meet", async () => {
    const connect = await open();
    const sums = await Promise.all(
      [0, 1].map(async (rank) => {
        await using store = await connect();
        await using group = await initProcessGroup({ store, rank, worldSize: 2 });
        const tensor = Int32Array.of(rank + 1);
        await group.allReduce(tensor);
        return tensor[0];
      }),
    );
    expect(sums).toEqual([3, 3]);
  });

  it("says what is wrong with an address, a token, or a hub that is not there", async () => {
    const connect = await open();
    await expect(HubStore.connect(`${hub.url}/s`, { token: "wrong" })).rejects.toThrow(AdmissionError);
    for (const url of ["http://127.0.0.1:1/s", "nowhere", ""]) {
      await expect(HubStore.connect(url)).rejects.toThrow(/url is ".*": a hub's address is needed, such as ws:/);
    }
    for (const url of ["ws://user@127.0.0.1:1/s", "ws://127.0.0.1:1/s?token=x"]) {
      await expect(HubStore.connect(url)).rejects.toThrow(/give the token as an option/);
    }
    for (const name of ["%E0%A4%A", "%", "a%zz"]) {
      const failed = HubStore.connect(`ws://127.0.0.1:1/${name}`);
      await expect(failed).rejects.toThrow(RangeError);
      await expect(failed).rejects.toThrow(/HubStore.connect: url is ".*": a % in it must be written %25/);
    }
    await expect(HubStore.connect(3 as never)).rejects.toThrow(TypeError);
    await expect(HubStore.connect("ws://127.0.0.1:1/s", { timeoutMs: 50 })).rejects.toThrow(TimeoutError);
    const store = await connect();
    for (const call of [() => store.wait("k" as never), () => store.check("k" as never)]) {
      await expect(call()).rejects.toThrow(/must be lists, such as \["key"\]/);
    }
    const pending = store.get("never");
    await store.close();
    await expect(pending).rejects.toThrow(StoreError);
  });

  it("lets no client do more than ask the store", async () => {
    const connect = await open();
    const store = await connect();
    const hello = { group: "store", rank: null, worldSize: 2, purpose: "store", checksums: false } as const;
    for (const message of [{ type: "group", group: 1, ranks: [0], clusters: [[0]] }, { type: "checksums" }]) {
      const options = { token: "secret", timeoutMs: 5_000 };
      const { socket } = await connectWebSocket(hub.url, { ...hello, worldSize: 65_536 }, options);
      const closed = new Promise<number>((resolve) => {
        socket.onMessage = () => {};
        socket.onClose = resolve;
      });
      socket.send(encodeHubFrame(message));
      expect(await closed).toBe(1002);
    }
    await store.set("still", "here");
    await store.close();
  });
});
