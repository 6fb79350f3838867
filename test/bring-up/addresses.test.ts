/** Where rank 0 hosts the hub: addresses of both families, names of this machine, and those that are none. */
import { lookup } from "node:dns/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { initProcessGroupOn } from "../../src/bring-up/init.ts";
import { linkBetween } from "../../src/bring-up/linking.ts";
import type { RosterEntry } from "../../src/bring-up/roster.ts";
import { openAll } from "../../src/node/doors.ts";
import { startHub } from "../../src/node/hub.ts";
import { type InitOptions, initProcessGroup } from "../../src/node/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { listenWebSocket } from "../../src/node/websocket-server.ts";
import { isLoopback } from "../../src/support/host.ts";
import { freePort } from "../helpers/free-port.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Two ranks meet, add, and part. How they are linked. */
async function meet(options: InitOptions): Promise<string> {
  const [kind] = await Promise.all(
    [0, 1].map(async (rank) => {
      const group = await initProcessGroup({ backend: "cpu", timeoutMs: 10_000, ...options, rank, worldSize: 2 });
      const tensor = Int32Array.of(rank + 1);
      await group.allReduce(tensor);
      const { link } = group.info().ranks[1 - rank]!;
      await group.destroy();
      expect([...tensor]).toEqual([3]);
      return link;
    }),
  );
  return kind!;
}

/** Whether this machine means itself by its name depends on its /etc/hosts. */
const ownNameIsLocal = async () => {
  const addresses = await lookup(hostname(), { all: true }).catch(() => []);
  return addresses.length > 0 && addresses.every(({ address }) => isLoopback(address));
};

describe("env://", () => {
  it.each(["::1", "[::1]", "127.0.0.1", "localhost", "0:0:0:0:0:0:0:1", ""])(
    "meets at MASTER_ADDR=%s",
    async (host) => {
      vi.stubEnv("MASTER_ADDR", host);
      vi.stubEnv("MASTER_PORT", `${await freePort()}`);
      expect(await meet({ initMethod: "env://" })).toBe("mapped-memory");
    },
  );

  it("meets at this machine's own name where that is its own alone, and else says what is missing", async () => {
    vi.stubEnv("MASTER_ADDR", hostname());
    vi.stubEnv("MASTER_PORT", `${await freePort()}`);
    if (await ownNameIsLocal()) expect(await meet({ initMethod: "env://" })).toBe("mapped-memory");
    else await expect(meet({ initMethod: "env://", timeoutMs: 500 })).rejects.toThrow(/lets other machines connect/);
  });

  it.each(["0", "65536", "99999"])("refuses MASTER_PORT=%s, and says which there are", async (port) => {
    vi.stubEnv("MASTER_PORT", port);
    await expect(initProcessGroup({ rank: 0, worldSize: 1 })).rejects.toThrow(
      new RegExp(`MASTER_PORT is ${port}: all ranks must know the port .*1 to 65535`),
    );
  });

  it.each(["a b", "ws://127.0.0.1", "127.0.0.1:29500", "::1::2"])("refuses MASTER_ADDR=%j", async (host) => {
    vi.stubEnv("MASTER_ADDR", host);
    const refused = initProcessGroup({ rank: 0, worldSize: 1 });
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(/MASTER_ADDR is ".*": a host name or an address is needed/);
  });

  it("says that rank 0 has to run where MASTER_ADDR is", async () => {
    vi.stubEnv("MASTER_ADDR", "192.0.2.1");
    const options = { rank: 0, worldSize: 1, token: "t", listen: { tls: { cert: "", key: "" } } };
    await expect(initProcessGroup(options)).rejects.toThrow(
      /192\.0\.2\.1 could not be opened: it is no address of this/,
    );
    vi.stubEnv("MASTER_ADDR", "no-such-host.invalid");
    await expect(initProcessGroup({ rank: 0, worldSize: 1 })).rejects.toThrow(
      /no-such-host\.invalid is no name of which this machine knows/,
    );
  });
});

describe("tcp://", () => {
  it.each(["[::1]", "127.0.0.1", "localhost"])("meets at %s, over each transport", async (host) => {
    for (const transport of ["mapped-memory", "shared-file", "websocket", "hub"] as const) {
      expect(await meet({ initMethod: `tcp://${host}:${await freePort()}`, transport })).toBe(transport);
    }
  });

  it("refuses port 0", async () => {
    const refused = initProcessGroup({ initMethod: "tcp://127.0.0.1:0", rank: 0, worldSize: 1 });
    await expect(refused).rejects.toThrow(/the port of tcp:\/\/127\.0\.0\.1:0 is 0: all ranks must know/);
  });
});

describe("ws://", () => {
  it("meets at a hub on ::1, whose address has brackets", async () => {
    const hub = await startHub({ host: "::1", port: 0 });
    expect(hub.url).toBe(`ws://[::1]:${hub.port}`);
    expect(await meet({ initMethod: `${hub.url}/six`, transport: "hub" })).toBe("hub");
    await hub.close();
  });
});

describe("direct links", () => {
  it("go over IPv6", async () => {
    const initMethod = `tcp://[::1]:${await freePort()}`;
    expect(await meet({ initMethod, transport: "websocket", listen: { host: "::1" } })).toBe("websocket");
  });

  it("are offered by address where a name is this machine's own alone, so that other hosts do not try it", async () => {
    const listener = await listenWebSocket({ host: hostname(), insecure: true }, () => {
      throw new Error("nobody comes");
    });
    const { hostname: shown } = new URL(listener.url);
    expect(isLoopback(shown)).toBe(await ownNameIsLocal());
    const entry = (rank: number, hostId: string) =>
      ({
        rank,
        hostId,
        listenUrl: listener.url,
        shares: [],
        maps: [],
        dataChannels: [],
        thread: null,
        inMemory: false,
      }) as unknown as RosterEntry;
    expect(linkBetween(entry(0, "a"), entry(1, "b"))).toBe((await ownNameIsLocal()) ? "hub" : "websocket");
    expect(linkBetween(entry(0, "a"), entry(1, "a"))).toBe("websocket");
    await listener.close();
  });

  it("are missing for a reason where a host is told another's loopback address: info() says it", {
    timeout: 60_000,
  }, async () => {
    const host = fc.constantFrom("a", "b");
    const transport = fc.constantFrom("auto" as const, "websocket" as const);
    const hub = await startHub({ port: 0 });
    let groups = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(host, { minLength: 2, maxLength: 4 }), transport, async (hosts, transport) => {
        const options = { initMethod: `${hub.url}/reasons-${groups++}`, worldSize: hosts.length, transport };
        const joined = await Promise.all(
          hosts.map((hostId, rank) =>
            initProcessGroupOn({ ...nodePlatform, hostId }, { ...options, rank, backend: "cpu", timeoutMs: 20_000 }),
          ),
        );
        for (const [rank, group] of joined.entries()) {
          const { websocket, ranks } = group.info();
          const told = new Map<number, string[]>();
          for (const part of websocket.split("; ")) {
            const [, not, list = "", why = ""] = /^(not )?with rank ([^:]*)(?:: (.*))?$/.exec(part) ?? [];
            for (const other of list.split(", rank ").map(Number)) {
              const isFaster = why === "a faster link joins them";
              const lower = Math.min(rank, other);
              const whyNone = new RegExp(`^rank ${lower} listens at 127.0.0.1, which .* listen: { host }`);
              if (not && !isFaster) expect(why).toMatch(whyNone);
              told.set(other, isFaster ? ["mapped-memory", "shared-file"] : [not ? "hub" : "websocket"]);
            }
          }
          const others = ranks.filter((other) => other.rank !== rank);
          expect([...told.keys()].sort()).toEqual(others.map((other) => other.rank));
          for (const other of others) expect(told.get(other.rank)).toContain(other.link);
        }
        await Promise.all(joined.map((group) => group.destroy()));
      }),
      { numRuns: 8 },
    );
    const alone = await initProcessGroup({ initMethod: `${hub.url}/alone`, rank: 0, worldSize: 1, backend: "cpu" });
    expect(alone.info().websocket).toBe("no other rank is there");
    await alone.destroy();
    await hub.close();
  });
});

describe("a name that has addresses of both families", () => {
  const open = async (addresses: readonly string[], port = 0) => {
    const server = createServer((_, response) => response.end("here"));
    const doors = await openAll(server, "both", addresses, port);
    const at = (host: string) =>
      fetch(`http://${host}:${(server.address() as AddressInfo).port}`).then((r) => r.text());
    return { at, port: (server.address() as AddressInfo).port, close: () => doors.map((door) => door.close()) };
  };

  it("is reached at each of them, by the same port", async () => {
    for (const addresses of [
      ["127.0.0.1", "::1"],
      ["::1", "127.0.0.1"],
    ]) {
      const { at, close } = await open(addresses);
      expect(await Promise.all([at("127.0.0.1"), at("[::1]")])).toEqual(["here", "here"]);
      close();
    }
  });

  it("is reached at the one that this machine has", async () => {
    const { at, close } = await open(["192.0.2.1", "::1", "2001:db8::1"]);
    expect(await at("[::1]")).toBe("here");
    close();
    await expect(open(["192.0.2.1", "2001:db8::1"])).rejects.toThrow(
      /on both could not be opened: it is no address of this/,
    );
  });

  it("is refused where one of them has another program, and nothing stays open", async () => {
    const taken = await open(["::1"]);
    await expect(open(["127.0.0.1", "::1"], taken.port)).rejects.toThrow(/is already in use/);
    taken.close();
    const { close } = await open(["127.0.0.1", "::1"], taken.port);
    close();
  });
});
