/**
 * Calls a second of the same PyTorch client at PyTorch's TCPStore server and at this library's, in turns, and the memory of each with
 * 1,000 idle clients: `npx tsx bench/tcp-store.ts [rounds]` after `npm run build`. It needs PyTorch (WEBCCL_PYTORCH, or scripts/pytorch.ts installs it). Each server is a process of its own.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { toldBy, wholeOption } from "../scripts/command-line.ts";
import { pytorchPython } from "../scripts/pytorch.ts";

const rounds = toldBy(
  "npx tsx bench/tcp-store.ts [rounds]: turns of each server (3)",
  {},
  ({ positionals: [count = "3"] }) => wholeOption("rounds", count, 1),
);
const python = pytorchPython();
const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const LOADS = [
  { clients: 1, adds: 5_000, sets: 50_000 },
  { clients: 100, adds: 100, sets: 1_000 },
];

const PYTORCH = `
import torch.distributed as dist, sys
store = dist.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
print(store.port, flush=True)
sys.stdin.read()
`;
const WEBCCL = `
import { TcpStore } from ${JSON.stringify(path("../dist/node/index.js"))};
const store = await TcpStore.listen();
console.log(store.port);
process.stdin.resume();
`;

type Command = readonly [command: string, args: readonly string[]];
const SERVERS: Readonly<Record<"PyTorch's server" | "webccl's", Command>> = {
  "PyTorch's server": [python, ["-c", PYTORCH]],
  "webccl's": [process.execPath, ["--input-type=module", "-e", WEBCCL]],
};

const IDLE_CLIENTS = 1_000;
/** validate, and a ping of 7. */
const GREETING = Buffer.from("00cef7853c0d07000000", "hex");

async function start([command, args]: Command) {
  const server = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
  const [said] = await once(server.stdout, "data");
  return { server, port: Number(String(said)) };
}

/** Bytes of memory of a server for each of many clients that have come and say nothing. */
async function idleBytes(command: Command): Promise<number> {
  const { server, port } = await start(command);
  const memory = () => {
    const [, kib] = /VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8")) ?? [];
    return Number(kib) * 1_024;
  };
  const join = async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write(GREETING);
    await once(socket, "data");
    return socket;
  };
  const first = await join();
  const before = memory();
  const sockets: Socket[] = [first];
  for (let i = 0; i < IDLE_CLIENTS; i++) sockets.push(await join());
  const bytes = (memory() - before) / IDLE_CLIENTS;
  for (const socket of sockets) socket.destroy();
  server.kill();
  return bytes;
}

/** Starts a server, measures, and ends it. */
async function measure(command: Command, load: (typeof LOADS)[number]) {
  const { server, port } = await start(command);
  const words = [port, load.clients, load.adds, load.sets].map(String);
  const { stdout, status } = spawnSync(python, [path("tcp-store-load.py"), ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  server.stdin.end();
  server.kill();
  if (status !== 0) throw new Error("the clients failed");
  return JSON.parse(stdout) as { adds: number; sets: number };
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

for (const load of LOADS) {
  const seen = { pytorch: [] as { adds: number; sets: number }[], webccl: [] as { adds: number; sets: number }[] };
  for (let round = 0; round < rounds; round++) {
    seen.pytorch.push(await measure(SERVERS["PyTorch's server"], load));
    seen.webccl.push(await measure(SERVERS["webccl's"], load));
  }
  for (const kind of ["adds", "sets"] as const) {
    const [theirs, ours] = [seen.pytorch, seen.webccl].map((all) => median(all.map((one) => one[kind]))) as [
      number,
      number,
    ];
    console.log(
      `${load.clients} clients, ${kind}/s: PyTorch's server ${theirs.toFixed(0)}, webccl's ${ours.toFixed(0)} (${(ours / theirs).toFixed(2)}×)`,
    );
  }
}

for (const [name, command] of Object.entries(SERVERS)) {
  const kib = (await idleBytes(command)) / 1_024;
  console.log(`${IDLE_CLIENTS} idle clients, ${name}: ${kib.toFixed(1)} KiB each`);
}
