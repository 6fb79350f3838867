/** Groups whose ranks, here all in this process, are linked by data channels of the package @roamhq/wrtc. */
import { connect, createServer, type Socket } from "node:net";
import { Transform } from "node:stream";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { initProcessGroupOn } from "../../src/bring-up/init.ts";
import type { InitOptions, InternalOptions } from "../../src/bring-up/init-options.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { startHub } from "../../src/node/hub.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { loadPeerConnection } from "../../src/node/webrtc/peer-connection.ts";
import type { Platform } from "../../src/platform.ts";
import type { Store } from "../../src/store/store.ts";

let hub: Awaited<ReturnType<typeof startHub>>;
let groups = 0;
beforeAll(async () => {
  hub = await startHub({ port: 0 });
});
afterAll(() => hub.close());

type RankOptions = InitOptions & InternalOptions & { platform?: Platform };

/** A group of these ranks, all of which are the same but for what each says. */
function join(ranks: readonly RankOptions[]): Promise<ProcessGroup[]> {
  const initMethod = `${hub.url}/webrtc-${groups++}`;
  return Promise.all(
    ranks.map(({ platform = nodePlatform, ...options }, rank) => {
      const defaults = { initMethod, rank, worldSize: ranks.length, backend: "cpu", timeoutMs: 30_000 } as const;
      return initProcessGroupOn(platform, { ...defaults, transport: "webrtc", ...options });
    }),
  );
}

async function expectSums(joined: readonly ProcessGroup[]): Promise<void> {
  const data = joined.map((_, rank) => new Float32Array(50_000).fill(rank + 1));
  await Promise.all(joined.map((group, rank) => group.allReduce(data[rank]!)));
  const sum = (joined.length * (joined.length + 1)) / 2;
  for (const tensor of data) expect([tensor[0], tensor.at(-1)]).toEqual([sum, sum]);
}

const linksOf = (group: ProcessGroup) => group.info().ranks.map(({ link }) => link);
const destroyAll = (joined: readonly ProcessGroup[]) => Promise.all(joined.map((group) => group.destroy()));

/** As pages do, these ranks cannot listen and have no MessagePorts. */
const asPage = (platform: Platform): Platform => ({
  ...platform,
  canListen: false,
  mappedMemory: null,
  openPortExchange: () => Promise.reject(new Error("no ports")),
});

/** The hub's address, to which the way of each rank carries so many bytes a second. */
async function narrowHub(bytesPerSecond: number): Promise<string> {
  const sockets: Socket[] = [];
  const narrow = () =>
    new Transform({
      transform: (chunk: Buffer, _, done) => {
        setTimeout(() => done(null, chunk), (chunk.byteLength / bytesPerSecond) * 1_000);
      },
    });
  const server = createServer((rank) => {
    const target = connect(Number(new URL(hub.url).port), "127.0.0.1");
    rank.pipe(narrow()).pipe(target).pipe(narrow()).pipe(rank);
    for (const socket of [rank, target]) socket.on("error", () => {});
    sockets.push(rank, target);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** A platform whose data channels this test can cut. */
function cuttable(): { platform: Platform; cut(): void } {
  const made: RTCPeerConnection[] = [];
  const platform: Platform = {
    ...nodePlatform,
    loadPeerConnection: async () => {
      const Connection = await loadPeerConnection();
      return class extends Connection {
        constructor(configuration?: RTCConfiguration) {
          super(configuration);
          made.push(this);
        }
      } as typeof RTCPeerConnection;
    },
  };
  const cut = () => {
    for (const connection of made) connection.close();
  };
  return { platform, cut };
}

/** A platform whose ranks tell the others of something else than what they have. */
function telling(change: (sdp: string) => string): Platform {
  const changed = (connection: RTCPeerConnection) =>
    new Proxy(connection, {
      get: (target, name: keyof RTCPeerConnection) => {
        const value: unknown = target[name];
        if (name === "localDescription") return { sdp: change(target.localDescription!.sdp) };
        return typeof value === "function" ? value.bind(target) : value;
      },
      set: (target, name, value) => Reflect.set(target, name, value),
    });
  const loadPeerConnection = async () => {
    const Connection = await nodePlatform.loadPeerConnection!();
    return class {
      constructor(configuration: RTCConfiguration) {
        // biome-ignore lint/correctness/noConstructorReturn: the package's class defines its fields on each object
        return changed(new Connection!(configuration));
      }
    } as typeof RTCPeerConnection;
  };
  return { ...nodePlatform, loadPeerConnection };
}

describe("data channels", () => {
  it("link all ranks that can make them, and the hub the others", async () => {
    const joined = await join([{}, {}, { transport: "hub" }]);
    expect(joined.map(linksOf)).toEqual([
      ["self", "webrtc", "hub"],
      ["webrtc", "self", "hub"],
      ["hub", "hub", "self"],
    ]);
    expect(joined.map((group) => group.info().webrtc)).toEqual([
      "with rank 1",
      "with rank 0",
      "it has no direct links",
    ]);
    await expectSums(joined);
    const left = await joined[0]!.store.numKeys();
    await destroyAll(joined);
    // No offers and answers are left behind: only what each rank has said of its channels.
    expect(left).toBe((await keysOfPlainGroup()) + joined.length);
  });

  it("are compared with the hub where nobody asks for them, and both ranks come to one answer", async () => {
    const joined = await join([0, 1, 2].map(() => ({ transport: "auto", platform: asPage(nodePlatform) })));
    for (const [rank, group] of joined.entries()) {
      const told = group.info().webrtc;
      for (const [other, link] of linksOf(group).entries()) {
        if (other === rank) continue;
        expect(linksOf(joined[other]!)[rank]).toBe(link);
        if (link === "webrtc") expect(told).toMatch(new RegExp(`^with .*rank ${other}`));
        else
          expect(told).toMatch(new RegExp(`not with rank ${other}: an allReduce of 256 KiB would take .* by the hub`));
      }
    }
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("are used where the hub is too slow to be measured in time", async () => {
    const page = { transport: "auto", platform: asPage(nodePlatform), timeoutMs: 6_000 } as const;
    const initMethod = `${await narrowHub(64 * 1024)}/narrow`;
    const joined = await join([
      { ...page, initMethod },
      { ...page, initMethod },
    ]);
    expect(joined.map(linksOf)).toEqual([
      ["self", "webrtc"],
      ["webrtc", "self"],
    ]);
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("hold up no rank past its `timeoutMs` where no way is found: the hub relays", async () => {
    // Addresses that no machine has (RFC 5737).
    const unreachable = telling((sdp) => sdp.replace(/^(a=candidate:(?:\S+ ){4})\S+/gm, "$1192.0.2.1"));
    const page = { transport: "auto", platform: asPage(unreachable), timeoutMs: 4_000 } as const;
    const joined = await join([{ transport: "auto", timeoutMs: 4_000 }, page, page]);
    expect(joined.map(linksOf)).toEqual([
      ["self", "hub", "hub"],
      ["hub", "self", "hub"],
      ["hub", "hub", "self"],
    ]);
    expect(joined[1]!.info().webrtc).toBe("not with rank 2: no channel opened within 1000 ms");
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("are not used to a rank that takes next to no bytes at once: the hub relays, and info() says why", async () => {
    const taking = (bytes: number) =>
      telling((sdp) => sdp.replace(/^a=max-message-size:\d+/m, `a=max-message-size:${bytes}`));
    const joined = await join([{}, ...[1, 500, 1_023, 1_024].map((bytes) => ({ platform: taking(bytes) }))]);
    expect(linksOf(joined[0]!)).toEqual(["self", "hub", "hub", "hub", "webrtc"]);
    expect(joined[0]!.info().webrtc).toContain("not with rank 2: the other side takes messages of 500 bytes at most");
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("give way to the hub where there is no way between two ranks, and info() says why", async () => {
    const warnings: unknown[] = [];
    const logger = { debug: () => {}, info: () => {}, error: () => {}, warn: (text: unknown) => warnings.push(text) };
    const joined = await join([
      { logger },
      { platform: telling((sdp) => sdp.replace(/^a=candidate:.*\r\n/gm, "")) },
      {},
    ]);
    expect(joined.map(linksOf)).toEqual([
      ["self", "hub", "webrtc"],
      ["hub", "self", "hub"],
      ["webrtc", "hub", "self"],
    ]);
    const why = "it found no network address at which it can be reached";
    expect(joined[0]!.info().webrtc).toBe(`with rank 2; not with rank 1: the other rank makes no channel: ${why}`);
    expect(joined[1]!.info().webrtc).toContain(`not with rank 0: ${why}`);
    expect(String(warnings)).toMatch(/data channels are missing, and the hub relays instead: not with rank 1/);
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("are not opened by a member that tells of something else: the hub relays", async () => {
    const initMethod = `${hub.url}/hostile-${groups++}`;
    const options = { initMethod, worldSize: 3, backend: "cpu", timeoutMs: 30_000 } as const;
    const garbage = telling((sdp) => `${sdp}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n`);
    const joined = await Promise.all(
      [nodePlatform, nodePlatform, garbage].map((platform, rank) =>
        initProcessGroupOn(platform, { ...options, rank, transport: "webrtc" }),
      ),
    );
    expect(linksOf(joined[0]!)).toEqual(["self", "webrtc", "hub"]);
    expect(joined[0]!.info().webrtc).toMatch(
      /not with rank 2: a signal describes something else than one data channel/,
    );
    await expectSums(joined);
    await destroyAll(joined);
  });

  it("are a PeerLostError on every rank when one is lost, though all are still at the hub", async () => {
    const { platform, cut } = cuttable();
    const joined = await join([{}, { platform }, {}]);
    await expectSums(joined);
    const calls = joined.map((group) => group.barrier());
    await Promise.all(calls);
    const waiting = [0, 2].map((rank) => joined[rank]!.allReduce(new Float32Array(10)));
    const failed = waiting.map((call) => expect(call).rejects.toMatchObject({ name: "PeerLostError" }));
    cut();
    await Promise.all(failed);
    await destroyAll(joined);
  });

  it("are refused in one sentence where nothing makes them", async () => {
    const options = { initMethod: `${hub.url}/none`, rank: 0, worldSize: 1, transport: "webrtc" } as const;
    const without: Platform = { ...nodePlatform, loadPeerConnection: async () => undefined };
    await expect(initProcessGroupOn(without, options)).rejects.toThrow(
      /^transport "webrtc": rank 0 has no data channels: there is no RTCPeerConnection here/,
    );
  });

  it("take STUN and TURN servers, each checked before anything is opened", async () => {
    const wrong: readonly [iceServers: unknown, says: RegExp][] = [
      [{}, /^initProcessGroup: iceServers must be a list/],
      ["stun:a.example", /must be a list/],
      [["stun:a.example"], /options must be an object/],
      [[{ url: "stun:a.example" }], /unknown option url; did you mean urls\?/],
      [[{ urls: 7 }], /urls must be a string or a list of them, got number/],
      [[{ urls: [] }], /urls is an empty list/],
      [[{ urls: "https://a.example" }], /"https:\/\/a.example" is no address such as "stun:host:3478"/],
      [[{ urls: ["stun:a.example", ""] }], /"" is no address/],
      [[{ urls: "turn:a.example" }], /a TURN server, which needs username and credential/],
      [[{ urls: "turn:a.example", username: "a", credential: 7 }], /credential must be a string, got number/],
    ];
    for (const [iceServers, says] of wrong) {
      const options = { initMethod: "memory://never", rank: 0, worldSize: 1, iceServers } as InitOptions;
      await expect(initProcessGroup(options), JSON.stringify(iceServers)).rejects.toThrow(says);
    }
    const right = [
      { urls: ["stun:127.0.0.1:9"] },
      { urls: "turn:127.0.0.1:9?transport=udp", username: "u", credential: "c" },
    ];
    const unknown = [{ urls: "stun:127.0.0.1:99999" }];
    const alone = { initMethod: `${hub.url}/servers`, rank: 0, worldSize: 1, transport: "webrtc" } as const;
    await expect(initProcessGroup({ ...alone, iceServers: unknown })).rejects.toThrow(
      /^initProcessGroup: iceServers: ICE server parse failed/,
    );
    const joined = await join([{ iceServers: right }, {}]);
    await expectSums(joined);
    await destroyAll(joined);
  });
});

/** How many keys the store of a group has that knows of no data channels. */
async function keysOfPlainGroup(): Promise<number> {
  const joined = await join([{ transport: "hub" }, { transport: "hub" }, { transport: "hub" }]);
  const { store }: { store: Store } = joined[0]!;
  const keys = await store.numKeys();
  await destroyAll(joined);
  return keys;
}
