/** The port of rank 0 under tcp:// and env://: a hub, and a TCPStore. */
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { startHub } from "../../src/node/hub.ts";
import { initProcessGroup, StoreCollectives, TcpStore } from "../../src/node/index.ts";
import { freePort } from "../helpers/free-port.ts";
import { makeCertificate } from "../security/certificate.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function pair(options: object = {}) {
  const port = await freePort();
  const join = (rank: number) =>
    initProcessGroup({ initMethod: `tcp://127.0.0.1:${port}`, rank, worldSize: 2, timeoutMs: 20_000, ...options });
  const groups = await Promise.all([join(0), join(1)]);
  const leave = () => Promise.all(groups.map((group) => group.destroy()));
  return { port, groups, leave };
}

describe("the port of rank 0", () => {
  it("serves a TCPStore whose keys are those of group.store", async () => {
    const { port, groups, leave } = await pair();
    const store = await TcpStore.connect({ port, timeoutMs: 10_000 });
    expect(await store.numKeys()).toBe(0);
    await store.set("from", "a TCPStore");
    expect(text(await groups[1]!.store.get("from"))).toBe("a TCPStore");
    await groups[0]!.store.set("back", "the group");
    expect(text(await store.get("back"))).toBe("the group");
    expect((await store.listKeys()).sort()).toEqual(["back", "from"]);
    expect(
      await Promise.all([store.add("n", 1), groups[0]!.store.add("n", 1), groups[1]!.store.add("n", 1)]),
    ).toHaveLength(3);
    expect(await store.add("n", 0)).toBe(3);
    const waiting = store.wait(["late"]);
    await groups[1]!.store.set("late", "1");
    await waiting;
    await store.close();
    await leave();
  });

  it("lets ranks and clients of the TCPStore meet at a barrier", async () => {
    const { port, groups, leave } = await pair();
    const store = await TcpStore.connect({ port });
    const all = [groups[0]!.store, groups[1]!.store, store].map((one, rank) => new StoreCollectives(one, rank, 3));
    await Promise.all(all.map((one) => one.barrier("together")));
    expect(await Promise.all(all.map((one, rank) => one.allSum("sum", rank)))).toEqual([3, 3, 3]);
    await store.close();
    await leave();
  });

  it("counts the processes that join a TCPStore of a fixed size apart from the group's keys", async () => {
    const { port, groups, leave } = await pair();
    const store = await TcpStore.connect({ port, worldSize: 3 });
    expect(await store.numKeys()).toBe(1);
    expect(await groups[0]!.store.check(["init/"])).toBe(false);
    await store.close();
    await leave();
  });

  it("still tells a browser or a probe that it is a hub, and closes who says nothing", async () => {
    const hub = await startHub({ port: 0, helloTimeoutMs: 100, tcpStore: { group: "g", prefix: "p/" } });
    onTestFinished(() => hub.close());
    const asked = request({ port: hub.port, host: "127.0.0.1" });
    asked.end();
    const [response] = await once(asked, "response");
    expect(response.statusCode).toBe(200);
    response.resume();
    const silent = connect(hub.port, "127.0.0.1");
    await new Promise((resolve) => silent.once("close", resolve));
  });

  it("leaves the silent second connection of a client of PyTorch 1.x open", async () => {
    const hub = await startHub({ port: 0, helloTimeoutMs: 100, tcpStore: { group: "g", prefix: "p/" } });
    onTestFinished(() => hub.close());
    const first = connect(hub.port, "127.0.0.1");
    first.write(Buffer.from("06", "hex"));
    await once(first, "data");
    const second = connect(hub.port, "127.0.0.1");
    const third = connect(hub.port, "127.0.0.1");
    // Two are silent, and one client of 1.x is there: one of the two is closed.
    const closed = await Promise.race([second, third].map((one) => once(one, "close").then(() => one)));
    const left = closed === second ? third : second;
    left.write(Buffer.from("06", "hex"));
    expect((await once(left, "data"))[0]).toHaveLength(8);
    for (const socket of [first, left]) socket.destroy();
  });

  it.each([
    ["a token", { token: "secret" }],
    ["TLS", { tls: makeCertificate() }],
  ])("serves no TCPStore where the hub has %s", async (_name, options) => {
    const hub = await startHub({ port: 0, ...options, tcpStore: { group: "g", prefix: "p/" } });
    onTestFinished(() => hub.close());
    await expect(TcpStore.connect({ port: hub.port, timeoutMs: 1_000 })).rejects.toThrow(/TCPStore/);
  });
});
