/**
 * How well readback, wire and kernels overlap: `npx tsx bench/gpu-overlap.ts [bytes] [rounds] [segmentBytes] [segmentsInFlight]`.
 *
 * An allReduce of a GPUBuffer by two processes, against the sum of its parts, all in turns in one run: the same allReduce of
 * host arrays (the wire), the kernels alone, and the readbacks and uploads alone.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { toldBy, wholeOption } from "../scripts/command-line.ts";
import { gpuEnvironment } from "../test/helpers/gpu.ts";

const [bytes = 2 ** 24, rounds = 15, ...rest] = toldBy(
  "npx tsx bench/gpu-overlap.ts [bytes] [rounds] [segmentBytes] [segmentsInFlight]",
  {},
  ({ positionals }) => positionals.map((text, i) => wholeOption(`word ${i + 1}`, text, 1)),
);
const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as { port: number };
server.close();

type Times = Record<"gpu" | "host" | "kernels" | "staging", number[]>;

const ranks = [0, 1].map((rank) =>
  fork(fileURLToPath(new URL("gpu-overlap-rank.ts", import.meta.url)), [bytes, rounds, ...rest].map(String), {
    execArgv: ["--import", "tsx"],
    env: { ...process.env, ...gpuEnvironment(), RANK: `${rank}`, WORLD_SIZE: "2", MASTER_PORT: `${port}` },
  }),
);
const reports = await Promise.all(ranks.map(async (child) => (await once(child, "message"))[0] as { times: Times }));
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
/** A round takes as long as on its slowest rank. */
const slowest = (name: keyof Times) =>
  reports[0]!.times[name].map((_, i) => Math.max(...reports.map(({ times }) => times[name][i]!)));
const all = { gpu: slowest("gpu"), host: slowest("host"), kernels: slowest("kernels"), staging: slowest("staging") };
const ratios = all.gpu.map((time, i) => time / (all.host[i]! + all.kernels[i]! + all.staging[i]!));
const medians = Object.fromEntries(Object.entries(all).map(([name, times]) => [`${name}Ms`, median([...times])]));
console.log(
  JSON.stringify({
    bytes,
    rounds,
    ...medians,
    ratio: median([...ratios]),
  }),
);
