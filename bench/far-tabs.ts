/**
 * Four tabs, each on a machine of its own (network namespaces), and a hub behind a delayed and narrow link: an allReduce and a send
 * of one way, through the hub and over data channels, and over a bare data channel, by turns within one run. Medians;
 * `npx tsx bench/far-tabs.ts [MiB] [delay to the hub in ms] [Mbit/s]`.
 */
import { fileURLToPath } from "node:url";
import { valueIn } from "../test/runtime/engines/engine.ts";
import { openTabsOnHosts } from "../test/runtime/hosts/tabs-on-hosts.ts";
import type { FarTabsJob, FarTabsTimes } from "./far-tabs-page.ts";

const TABS = 4;
const TIMES = 5;
const TIMEOUT_MS = 400_000;

const [mib = "8", delay = "10", mbit = "50"] = process.argv.slice(2);
const bytes = Number(mib) * 2 ** 20;
const place = await openTabsOnHosts(TABS, {
  ...{ delayMs: Number(delay), mbitPerSecond: Number(mbit) },
  programs: { "entry.js": fileURLToPath(new URL("far-tabs-page.ts", import.meta.url)) },
});
try {
  const outcomes = await Promise.all(
    Array.from({ length: TABS }, async (_, rank) => {
      const job: FarTabsJob = { url: place.url, rank, worldSize: TABS, bytes, times: TIMES };
      const tab = await place.open(rank, { scripts: "'wasm-unsafe-eval'" }, job);
      return valueIn<FarTabsTimes | { error: string }>(tab, "globalThis.outcome", TIMEOUT_MS);
    }),
  );
  const [first] = outcomes;
  if (!first || "error" in first) throw new Error(first?.error);
  console.log(`${place.engines[0]!.version}, ${mib} MiB, the hub ${delay} ms away behind ${mbit} Mbit/s`);
  console.log(`auto: rank 0 has data channels ${first.auto}`);
  for (const [way, all] of Object.entries(first.ways)) {
    const ms = all.sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
    console.log(`${way.padEnd(20)} ${ms.toFixed(0).padStart(8)} ms ${(bytes / ms / 1e3).toFixed(1).padStart(8)} MB/s`);
  }
} finally {
  await place.close();
}
