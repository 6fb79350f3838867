/**
 * `npx tsx bench/integrity.ts`: the cost of checksums. Two processes have two groups over WebSockets, one with checksums and
 * one without, and take turns with them: allReduce of one length in each, again and again. Prints the median times, and the
 * median of the ratios of neighbouring turns, of which a machine that is busy with other work shifts both.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { medianOf } from "../src/cli/bench/report.ts";
import { launch } from "../src/cli/launch/launch.ts";
import { machineText } from "../src/cli/machine.ts";
import { initProcessGroup } from "../src/node/index.ts";
import { sizeText } from "./sizes.ts";

/** Bytes of a tensor, calls of one turn, and turns of each group. */
const SIZES = [
  { bytes: 64, calls: 200, turns: 40 },
  { bytes: 64 * 1024, calls: 50, turns: 40 },
  { bytes: 16 * 1024 ** 2, calls: 2, turns: 40 },
] as const;
const WARM_UP_TURNS = 10;

/** What rank 0 sends: the microseconds of one call in each turn. */
interface Told {
  bytes: number;
  onUs: number[];
  offUs: number[];
}

/** The groups meet at files of `folder`. */
async function runRank(folder: string): Promise<void> {
  const open = (integrity: "on" | "off") =>
    initProcessGroup({
      initMethod: pathToFileURL(join(folder, integrity)).href,
      ...{ integrity, transport: "websocket", backend: "cpu" },
    });
  const groups = { on: await open("on"), off: await open("off") };
  for (const { bytes, calls, turns } of SIZES) {
    const tensors = { on: groups.on.alloc("f32", bytes / 4), off: groups.off.alloc("f32", bytes / 4) };
    const turn = async (which: "on" | "off") => {
      await groups[which].barrier();
      const start = performance.now();
      for (let i = 0; i < calls; i++) await groups[which].allReduce(tensors[which]);
      return ((performance.now() - start) * 1_000) / calls;
    };
    const told: Told = { bytes, onUs: [], offUs: [] };
    for (let i = 0; i < WARM_UP_TURNS + turns; i++) {
      // The first of two has neither advantage nor burden for long.
      const order = i % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const);
      const times = { on: 0, off: 0 };
      for (const which of order) times[which] = await turn(which);
      if (i < WARM_UP_TURNS) continue;
      told.onUs.push(times.on);
      told.offUs.push(times.off);
    }
    if (groups.on.rank === 0) process.send?.(told);
  }
  await groups.on.destroy();
  await groups.off.destroy();
}

async function runAll(): Promise<void> {
  console.log(`${machineText()}, node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`);
  console.log("allReduce of f32, 2 ranks, websocket; µs of one call, medians");
  const onMessage = (_rank: number, message: unknown) => {
    const { bytes, onUs, offUs } = message as Told;
    const ratio = medianOf(onUs.map((time, i) => time / offUs[i]!));
    const [on, off] = [medianOf(onUs), medianOf(offUs)].map((time) => time.toFixed(1));
    console.log(`${sizeText(bytes)}: on ${on}, off ${off}, ratio ${ratio.toFixed(3)}`);
  };
  const folder = mkdtempSync(join(tmpdir(), "webccl-integrity-"));
  const script = fileURLToPath(import.meta.url);
  const { exitCode } = await launch({ ranks: 2, script, args: [folder], onMessage });
  rmSync(folder, { recursive: true });
  process.exitCode = exitCode;
}

await (process.env.RANK === undefined ? runAll() : runRank(process.argv[2] ?? ""));
