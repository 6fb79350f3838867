/** How ranks find each other: numbers that are assigned, progress, servers that are late or full, and Redis. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { AbortedError, AdmissionError, TimeoutError } from "../../src/errors.ts";
import { startHub } from "../../src/node/hub.ts";
import { HashStore, initProcessGroup, type Logger } from "../../src/node/index.ts";
import { freePort } from "../helpers/free-port.ts";
import { connectRedis, startRedis } from "../helpers/redis.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const PLACES: readonly [string, () => Promise<object>][] = [
  ["file://", async () => ({ initMethod: `file://${join(temporaryFolder(), "store")}` })],
  ["a store of the caller's", async () => ({ store: new HashStore() })],
  ["redis://", async () => ({ initMethod: (await startRedis()).url })],
];

/** Ranks come up, add, and leave. */
async function meetAndSum(place: object, ranks: readonly (number | undefined)[]): Promise<number[]> {
  const worldSize = ranks.length;
  const join = (rank: number | undefined) =>
    initProcessGroup({ ...place, worldSize, timeoutMs: 20_000, ...(rank === undefined ? {} : { rank }) });
  const groups = await Promise.all(ranks.map(join));
  const sums = await Promise.all(
    groups.map(async (group) => {
      const one = new Int32Array([group.rank]);
      await group.allReduce(one);
      return one[0];
    }),
  );
  expect(new Set(sums)).toEqual(new Set([(worldSize * (worldSize - 1)) / 2]));
  const numbers = groups.map(({ rank }) => rank);
  await Promise.all(groups.map((group) => group.destroy()));
  return numbers;
}

describe.each(PLACES)("ranks that meet at %s", (_name, makePlace) => {
  it("are given numbers where they have none, and meet there again", async () => {
    const place = await makePlace();
    for (const ranks of [
      [undefined, undefined, undefined],
      [2, 0, 1],
      [undefined, undefined, undefined],
    ]) {
      expect((await meetAndSum(place, ranks)).toSorted()).toEqual([0, 1, 2]);
    }
  });

  it("tell who is missing, while they wait and when their time is over", async () => {
    const place = await makePlace();
    const lines: string[] = [];
    const quiet = () => {};
    const logger: Logger = { error: quiet, warn: quiet, debug: quiet, info: (line) => lines.push(line) };
    const join = (rank: number) => initProcessGroup({ ...place, rank, worldSize: 4, timeoutMs: 2_500, logger });
    const outcomes = await Promise.allSettled([join(0), join(1), join(3)]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { message: expect.stringContaining("3 of 4 ranks are here; missing: 2") },
      });
    }
    expect(lines).toContain("rank 0: 3 of 4 ranks are here; missing: 2");
  });
});

describe("ranks that meet in Redis", () => {
  it("leave the server's other keys alone, and end as soon as their signal fires", async () => {
    const { url } = await startRedis();
    const client = await connectRedis(url);
    onTestFinished(() => client.destroy());
    await client.set("somebody", "else's");
    await meetAndSum({ initMethod: url }, [0, 1]);
    expect(await client.get("somebody")).toBe("else's");
    const controller = new AbortController();
    const waiting = initProcessGroup({ initMethod: url, rank: 0, worldSize: 2, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow(AbortedError);
  });

  it("say where no server answered", async () => {
    const initMethod = `redis://127.0.0.1:${await freePort()}`;
    const joining = initProcessGroup({ initMethod, rank: 0, worldSize: 2, timeoutMs: 300 });
    await expect(joining).rejects.toThrow(TimeoutError);
    await expect(joining).rejects.toThrow(/no Redis server answered at 127.0.0.1:\d+ within 300 ms/);
  });
});

describe("a hub that is full of newcomers", () => {
  it("takes all of 40 ranks although it lets only 3 say hello at a time", async () => {
    const hub = await startHub({ port: 0, maxPendingPerAddress: 3 });
    onTestFinished(() => hub.close());
    const options = { initMethod: `${hub.url}/crowd`, worldSize: 40, transport: "hub", timeoutMs: 40_000 } as const;
    const groups = await Promise.all(Array.from({ length: 40 }, () => initProcessGroup(options)));
    expect(groups.map(({ rank }) => rank).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it.each([429, 502, 503, 504])(
    "is named, with its answer, where a proxy before it says %d until the timeout",
    async (status) => {
      let times = 0;
      const proxy = createServer().on("upgrade", (_request, socket: Duplex) => {
        times++;
        socket.end(`HTTP/1.1 ${status} Not now\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      });
      proxy.listen(0, "127.0.0.1");
      await once(proxy, "listening");
      onTestFinished(() => void proxy.close());
      const { port } = proxy.address() as AddressInfo;
      const joining = initProcessGroup({ initMethod: `ws://127.0.0.1:${port}/g`, worldSize: 2, timeoutMs: 500 });
      await expect(joining).rejects.toThrow(AdmissionError);
      await expect(joining).rejects.toThrow(new RegExp(`HTTP ${status}`));
      expect(times).toBeGreaterThan(1);
    },
  );
});
