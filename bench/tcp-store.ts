/**
 * Calls a second of the same PyTorch client at PyTorch's TCPStore server and at this library's, in turns: `npx tsx
 * bench/tcp-store.ts [rounds]` after `npm run build`. It needs PyTorch (WEBCCL_PYTORCH, or scripts/pytorch.ts installs it). Each server is a process of its own.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
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

/** Starts a server, measures, and ends it. */
async function measure(command: string, args: string[], load: (typeof LOADS)[number]) {
  const server = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
  const [said] = await once(server.stdout, "data");
  const words = [String(Number(String(said))), load.clients, load.adds, load.sets].map(String);
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
    seen.pytorch.push(await measure(python, ["-c", PYTORCH], load));
    seen.webccl.push(await measure(process.execPath, ["--input-type=module", "-e", WEBCCL], load));
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
