/**
 * The page of far-tabs.ts: one of several tabs, each on a machine of its own. It leaves the times of each way in
 * `globalThis.outcome`.
 */
import { initProcessGroup } from "../src/browser/index.ts";
import { oneWay } from "./one-way.ts";
import { oneWayRaw, openRawChannel } from "./raw-channel.ts";

/** What a tab is asked. */
export interface FarTabsJob {
  readonly url: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly bytes: number;
  readonly times: number;
}

/** Milliseconds of each turn, by way, and how "auto" joins the tabs. */
export interface FarTabsTimes {
  readonly ways: Readonly<Record<string, number[]>>;
  readonly auto: string;
}

const { url, rank, worldSize, bytes, times }: FarTabsJob = JSON.parse(decodeURIComponent(location.hash.slice(1)));

const join = (transport: "hub" | "webrtc" | "auto") =>
  initProcessGroup({
    ...{ initMethod: `${url}/${transport}`, rank, worldSize, backend: "cpu", transport, timeoutMs: 60_000 },
  });
try {
  const hub = await join("hub");
  const webrtc = await join("webrtc");
  const auto = await join("auto");
  const pair = await hub.newGroup([0, 1]);
  const raw = pair ? await openRawChannel(pair) : null;
  const data = new Float32Array(bytes / 4).fill(1 / worldSize);
  const ways: Record<string, number[]> = {};
  const time = async (name: string, call: () => Promise<unknown>) => {
    await hub.barrier();
    const start = performance.now();
    await call();
    ways[name] = [...(ways[name] ?? []), performance.now() - start];
  };
  for (let turn = 0; turn < times; turn++) {
    await time("hub allReduce", () => hub.allReduce(data, { op: "avg" }));
    await time("webrtc allReduce", () => webrtc.allReduce(data, { op: "avg" }));
    await time("hub one way", () => (rank < 2 ? oneWay(hub, data) : Promise.resolve()));
    await time("webrtc one way", () => (rank < 2 ? oneWay(webrtc, data) : Promise.resolve()));
    await time("raw data channel", async () => raw && oneWayRaw(raw, rank, bytes));
  }
  const outcome: FarTabsTimes = { ways, auto: auto.info().webrtc };
  for (const group of [auto, webrtc, hub]) await group.destroy();
  Object.assign(globalThis, { outcome });
} catch (error) {
  Object.assign(globalThis, { outcome: { error: String(error) } });
}
