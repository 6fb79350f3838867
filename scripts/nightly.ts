/**
 * `npm run nightly`: what takes too long for `npm test`. Each step is a program of its own; words after `npm run nightly --`
 * name the steps to run. The exit code is 1 if any of them fails.
 */
import { spawnSync } from "node:child_process";
import { root } from "./build.ts";
import { choicesOption, toldBy } from "./command-line.ts";

interface Step {
  readonly name: string;
  /** What it shows. */
  readonly purpose: string;
  /** A TypeScript program, from the root of the repository, and its words. */
  readonly program: readonly string[];
}

const STEPS: readonly Step[] = [
  {
    name: "flips",
    purpose: "10,000 bytes that change on the way between ranks: no wrong value, no hang",
    program: ["test/integrity/programs/flips.ts", "10000"],
  },
  {
    name: "pairing",
    purpose: "2,000 programs of calls that are awaited or not, over every medium: no call has the value of another one",
    program: ["test/group/programs/pairing.ts", "200"],
  },
  {
    name: "simulation",
    purpose: "20,000 schedules of faults in simulated worlds: every invariant holds",
    program: ["scripts/simulate.ts", "--seeds", "20000", "--first-seed", "1"],
  },
  {
    name: "chaos",
    purpose: "every promise of docs/reliability.md, with real processes: killed, stopped, cut off, joining, busy",
    program: ["bench/chaos/run.ts"],
  },
  {
    name: "tides",
    purpose: "a simulated group of 64 ranks shrinks through 20 losses and grows by 20 joins: every allReduce exact",
    program: ["test/simulation/programs/tides.mjs", "64", "20", "20"],
  },
  {
    name: "fuzz",
    purpose:
      "100,000 drawn frames against hub, ranks, clients, handshake and a TCPStore's server: no crash, no wrong value",
    program: ["scripts/fuzz.ts", "--frames", "100000", "--seconds", "1800", "--seed", "20261128"],
  },
  {
    name: "conformance",
    purpose: "every collective, dtype, operation and count, at more numbers of ranks than npm test has time for",
    program: ["test/conformance/programs/full-product.ts", "1", "2", "4", "5"],
  },
  {
    name: "buckets-pytorch",
    purpose: "1,000 random lists of tensors: the buckets of PyTorch",
    program: ["test/oracles/programs/buckets.ts"],
  },
  {
    name: "hooks-pytorch",
    purpose: "20 steps of PyTorch's DDP on gloo: the results of its hooks",
    program: ["test/oracles/programs/ddp-hooks.ts"],
  },
  {
    name: "safetensors",
    purpose: "files of 100 random models, read and written by Hugging Face's library",
    program: ["test/oracles/programs/safetensors.ts"],
  },
  {
    name: "reducer-pytorch",
    purpose:
      "20 steps of PyTorch's DDP on gloo, plain, with unused parameters, no_sync and Join: its averages within N ulp",
    program: ["test/oracles/programs/ddp-reducer.ts"],
  },
  {
    name: "reducer-overlap",
    purpose: "a step of 8 buckets over links of 20 ms: at most 0.7 of the time of backward, then allReduce",
    program: ["test/ddp/programs/reducer-overlap.ts"],
  },
  {
    name: "tfjs-averaging",
    purpose: "averageGradients beside the same by hand, of a million parameters: at most 0.67 of the time",
    program: ["bench/tfjs-averaging.ts"],
  },
  {
    name: "tcp-store-pytorch",
    purpose: "PyTorch's TCPStore client and server against this library's, a barrier of both, and 100 clients",
    program: ["test/oracles/programs/tcp-store.ts"],
  },
  {
    name: "nn-pytorch",
    purpose: "webccl/nn against torch.distributed.nn.functional of PyTorch, on drawn inputs",
    program: ["test/oracles/programs/nn.ts"],
  },
  {
    name: "torchfrtrace",
    purpose: "PyTorch's analyser of flight recorder dumps on our traces: a mismatch, a missing rank, and all well",
    program: ["test/oracles/programs/torchfrtrace.ts"],
  },
  {
    name: "mnist",
    purpose: "digits learned by two Node ranks and two tabs: 95 % right, and with int8 gradients within 0.5 points",
    program: ["test/examples/programs/mnist.ts"],
  },
  {
    name: "gpt",
    purpose: "a small GPT: the stated loss by 4 ranks in the samples of 1, and the text of one process by 4 ranks",
    program: ["test/examples/programs/gpt.ts"],
  },
];

const NAMES = STEPS.map(({ name }) => name);
const USAGE = `npm run nightly -- [steps] [--json]
  the steps, all if none is named:
${STEPS.map(({ name, purpose }) => `    ${name.padEnd(18)}${purpose}`).join("\n")}
  --json    prints the outcome of each step as JSON; what the steps print themselves goes to stderr`;

const { wanted, isJson } = toldBy(USAGE, { json: { type: "boolean" } }, ({ values, positionals }) => ({
  wanted: choicesOption("npm run nightly", positionals, NAMES),
  isJson: values.json === true,
}));
const outcomes: { step: string; isRight: boolean; seconds: number }[] = [];
for (const { name, purpose, program } of STEPS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (!isJson) console.log(`\n${name}: ${purpose}`);
  const start = performance.now();
  const { status } = spawnSync(process.execPath, ["--import", "tsx", ...program], {
    cwd: root,
    stdio: ["inherit", isJson ? 2 : "inherit", "inherit"],
  });
  outcomes.push({ step: name, isRight: status === 0, seconds: Math.round((performance.now() - start) / 1000) });
}
const failed = outcomes.filter(({ isRight }) => !isRight).map(({ step }) => step);
if (isJson) console.log(JSON.stringify({ outcomes }));
else if (failed.length > 0) console.error(`\nfailed: ${failed.join(", ")}`);
process.exitCode = failed.length > 0 ? 1 : 0;
