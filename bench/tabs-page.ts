/**
 * The page of tabs.ts: one of two tabs. It sends `bytes` one way, by turns over each way there is, and leaves the times of each
 * in `globalThis.outcome`.
 */
import { initProcessGroup } from "../src/browser/index.ts";
import type { ProcessGroup } from "../src/group/process-group.ts";
import { oneWay } from "./one-way.ts";
import { rawPort, rawSocket } from "./raw-ways.ts";

/** What a tab is asked. */
export interface TabsJob {
  readonly url: string;
  /** Of a server that only passes on. */
  readonly relay: string;
  readonly rank: 0 | 1;
  readonly bytes: number;
  readonly times: number;
}

/** Milliseconds of each turn, by way. */
export type TabsTimes = Record<
  "hub" | "message-port" | "hub allReduce" | "message-port allReduce" | "raw WebSocket" | "raw MessagePort",
  number[]
>;

const { url, relay, rank, bytes, times }: TabsJob = JSON.parse(decodeURIComponent(location.hash.slice(1)));

const groups: Partial<Record<"hub" | "message-port", ProcessGroup>> = {};
for (const transport of ["hub", "message-port"] as const) {
  const options = { initMethod: `${url}/${transport}`, rank, worldSize: 2, backend: "cpu", timeoutMs: 60_000 } as const;
  groups[transport] = await initProcessGroup({ ...options, transport });
}
const data = new Float32Array(bytes / 4).fill(rank + 1);
const raw = { "raw WebSocket": await rawSocket(relay, rank === 0), "raw MessagePort": await rawPort(groups.hub!) };
const found: TabsTimes = {
  ...{ hub: [], "message-port": [], "hub allReduce": [], "message-port allReduce": [] },
  ...{ "raw WebSocket": [], "raw MessagePort": [] },
};
for (let turn = 0; turn < times; turn++) {
  for (const transport of ["hub", "message-port"] as const) {
    const group = groups[transport]!;
    await group.barrier();
    const start = performance.now();
    await oneWay(group, data);
    const middle = performance.now();
    await group.allReduce(data);
    found[transport].push(middle - start);
    found[`${transport} allReduce`].push(performance.now() - middle);
  }
  for (const [name, send] of Object.entries(raw) as [keyof typeof raw, (typeof raw)["raw WebSocket"]][]) {
    await groups.hub!.barrier();
    const start = performance.now();
    await send(bytes);
    found[name].push(performance.now() - start);
  }
}
for (const group of Object.values(groups)) await group.destroy();
Object.assign(globalThis, { outcome: found });
