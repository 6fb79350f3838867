/**
 * Two tabs of one browser: 8 MiB sent one way, and allReduced, through a hub and over message ports, and one way over a bare
 * WebSocket, by a server that only passes on, and a bare MessagePort, by turns within one run. Medians; `npx tsx bench/tabs.ts [chromium | firefox | webkit] [MiB]`.
 */
import { fileURLToPath } from "node:url";
import { choicesOption, toldBy, wholeOption } from "../scripts/command-line.ts";
import { startHub } from "../src/node/hub.ts";
import { PageServer } from "../test/runtime/browser/page-server.ts";
import { ENGINES, type EngineName, valueIn } from "../test/runtime/engines/engine.ts";
import { relayServer } from "./raw-socket.ts";
import type { TabsJob, TabsTimes } from "./tabs-page.ts";

const NAMES = Object.keys(ENGINES) as EngineName[];
const USAGE = `npx tsx bench/tabs.ts [engine] [MiB]: ${NAMES.join(", ")} (chromium), and the size of the tensor (8)`;
const { name, mib } = toldBy(USAGE, {}, ({ positionals: [engine = "chromium", size = "8"] }) => ({
  name: choicesOption("engine", [engine], NAMES)[0] ?? "chromium",
  mib: wholeOption("MiB", size, 1),
}));
const open = ENGINES[name];
const bytes = mib * 2 ** 20;

const program = fileURLToPath(new URL("tabs-page.ts", import.meta.url));
const server = await PageServer.open({ programs: { "entry.js": program } });
const hub = await startHub({ port: 0, origins: [server.origin] });
const relay = await relayServer();
const engine = await open();
const tabs = [];
for (const rank of [0, 1] as const) {
  const job: TabsJob = { url: hub.url, relay: relay.url, rank, bytes, times: 15 };
  tabs.push(await engine.open(server.urlOf({ scripts: "'wasm-unsafe-eval'" }, job)));
}
const [times] = await Promise.all(tabs.map((tab) => valueIn<TabsTimes>(tab, "globalThis.outcome", 300_000)));
console.log(`${engine.version}, ${mib} MiB`);
for (const [way, all] of Object.entries(times!)) {
  const ms = all.sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
  console.log(`${way.padEnd(24)} ${ms.toFixed(1).padStart(8)} ms ${(bytes / ms / 1e3).toFixed(0).padStart(8)} MB/s`);
}
await engine.close();
await hub.close();
relay.close();
server.close();
