/**
 * Who is compared: webccl over each of its transports, another build of webccl, Open MPI, gloo, and a socket that only moves
 * bytes, each as a function that measures a few sizes.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BenchConfig, measure } from "../../src/cli/bench/bench.ts";
import type { BenchReport } from "../../src/cli/bench/report.ts";

/** A collective, its ranks, and the sizes in ascending order. */
export interface Sizes {
  collective: string;
  ranks: number;
  sizes: readonly number[];
}

/** One measurement. */
export interface Task extends Sizes {
  warmups: number;
  iterations: number;
}

/** One size's outcome. */
export interface Sample {
  bytes: number;
  /** Median over the iterations of the slowest rank's time. */
  timeUs: number;
  wrong: number;
  /** Memory of the rank that took most, above its memory before; webccl alone reports it. */
  extraRssBytes?: number | undefined;
}

/**
 * Adds `samples` to the times of each size.
 * @throws Error if an element was wrong.
 */
export function keepTimes(times: Map<number, number[]>, name: string, samples: readonly Sample[]): void {
  for (const { bytes, timeUs, wrong } of samples) {
    if (wrong > 0) throw new Error(`${name}: ${wrong} wrong elements at ${bytes} bytes`);
    times.set(bytes, [...(times.get(bytes) ?? []), timeUs]);
  }
}

export interface Contender<T extends Sizes = Task> {
  readonly name: string;
  /** Empty if it does not have the collective. */
  run(task: T): Promise<Sample[]>;
}

/** How webccl's ranks reach each other: the flags of `webccl bench`. */
export type Transport = Pick<BenchConfig, "threads" | "transport">;

/** webccl over one transport; `webccl bench` knows how long to warm it up. */
export function webccl(name: string, how: Transport): Contender {
  return {
    name,
    run: async ({ collective, ranks, sizes, iterations }) => {
      const range = rangeOf(sizes, 4);
      const call = { collectives: [collective], ranks, dtype: "f32", op: "sum" } as const;
      return reportSamples(await measure({ ...call, ...range, ...how, iterations }));
    },
  };
}

/**
 * The build of webccl in `folder`/dist, by its own command, so that nothing of this build runs in it.
 * @throws Error if there is no build.
 */
export function webcclBuild(name: string, folder: string, how: Transport): Contender<Sizes> {
  const command = join(folder, "dist", "cli", "main.js");
  if (!existsSync(command)) throw new Error(`${folder} has no dist/cli/main.js: npm run build there`);
  const transport = how.threads ? ["--threads"] : how.transport ? ["--transport", how.transport] : [];
  return {
    name,
    run: async ({ collective, ranks, sizes }) => {
      const samples: Sample[] = [];
      for (const { minBytes, maxBytes, factor } of rangesOf(sizes)) {
        const range = ["-b", minBytes, "-e", maxBytes, "-f", factor].map(String);
        const args = [command, "bench", collective, "-n", `${ranks}`, ...range, ...transport, "--json"];
        samples.push(...reportSamples([JSON.parse(await output(process.execPath, args, {}, [0, 1]))]));
      }
      return samples;
    },
  };
}

type Range = Pick<BenchConfig, "minBytes" | "maxBytes" | "factor">;

function rangeOf(sizes: readonly number[], factor: number): Range {
  const [minBytes, maxBytes] = [sizes[0], sizes.at(-1)];
  if (minBytes === undefined || maxBytes === undefined) throw new RangeError("no sizes");
  return { minBytes, maxBytes, factor };
}

/** The fewest ranges that have exactly `sizes`: in a range, each size is the one before times a factor. */
function rangesOf(sizes: readonly number[]): Range[] {
  const ranges: Range[] = [];
  for (const size of sizes) {
    const last = ranges.at(-1);
    const isFirst = last?.minBytes === last?.maxBytes;
    const factor = last && (isFirst ? size / last.maxBytes : last.factor);
    if (last && factor !== undefined && Number.isInteger(factor) && factor >= 2 && last.maxBytes * factor === size) {
      Object.assign(last, { maxBytes: size, factor });
    } else ranges.push({ minBytes: size, maxBytes: size, factor: 2 });
  }
  return ranges;
}

const reportSamples = (reports: readonly BenchReport[]): Sample[] =>
  reports
    .flatMap(({ results }) => results)
    .map(({ bytes, timeUs, wrong, extraRssBytes }) => ({ bytes, timeUs: timeUs.median, wrong, extraRssBytes }));

/** Open MPI's shared memory, or a text that names the missing package. */
export function openMpi(): Contender | string {
  if (spawnSync("mpicc", ["--version"]).status !== 0) return "Open MPI: apt install openmpi-bin libopenmpi-dev";
  const program = built("mpicc", "open-mpi");
  const flags = ["--oversubscribe", "--bind-to", "none", "--mca", "btl", "vader,self"];
  if (process.getuid?.() === 0) flags.push("--allow-run-as-root");
  return {
    name: "Open MPI, shared memory",
    run: async (task) =>
      samplesOf(await output("mpirun", [...flags, "-n", `${task.ranks}`, program, ...wordsOf(task)])),
  };
}

/** Two processes that trade their bytes over loopback, which is all that an all-reduce of two ranks can at best be. */
export function sockets(): Contender | string {
  if (spawnSync("gcc", ["--version"]).status !== 0) return "C program over sockets: apt install gcc libc6-dev";
  const program = built("gcc", "duplex");
  return {
    name: "C program, sockets, both ways",
    run: async (task) =>
      task.collective === "all_reduce" && task.ranks === 2 ? samplesOf(await output(program, wordsOf(task))) : [],
  };
}

/** torch.distributed with gloo, or a text that names the missing package. */
export function gloo(): Contender | string {
  const python = ["python3", "/usr/bin/python3"].find(
    (candidate) => spawnSync(candidate, ["-c", "import torch.distributed"]).status === 0,
  );
  if (!python) return "gloo: apt install python3-torch";
  const script = fileURLToPath(new URL("gloo.py", import.meta.url));
  return {
    name: "gloo",
    run: async (task) => {
      const place = { WORLD_SIZE: `${task.ranks}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${await freePort()}` };
      const ranks = Array.from({ length: task.ranks }, (_, rank) =>
        output(python, [script, ...wordsOf(task)], { ...place, RANK: `${rank}` }, [0, 3]),
      );
      return samplesOf((await Promise.all(ranks))[0]!);
    },
  };
}

/** Compiles the C program `name`. */
function built(compiler: string, name: string): string {
  const program = join(mkdtempSync(join(tmpdir(), "webccl-peers-")), name);
  execFileSync(compiler, ["-O3", "-o", program, fileURLToPath(new URL(`${name}.c`, import.meta.url))]);
  return program;
}

const wordsOf = ({ collective, warmups, iterations, sizes }: Task) =>
  [collective, warmups, iterations, ...sizes].map(String);

function samplesOf(text: string): Sample[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(" ").map(Number))
    .filter((words) => words.length === 3 && words.every(Number.isFinite))
    .map(([bytes, timeUs, wrong]) => ({ bytes: bytes!, timeUs: timeUs!, wrong: wrong! }));
}

function output(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  allowed: readonly number[] = [0],
): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code !== null && allowed.includes(code)) resolve(stdout);
      else reject(new Error(`${command} ended with ${code}:\n${stderr}`));
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
