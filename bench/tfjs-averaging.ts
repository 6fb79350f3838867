/**
 * How long `averageGradients` takes, beside the same written by hand: `data()`, one flat array, allReduce, `tensor()`.
 *
 *   npx tsx bench/tfjs-averaging.ts [--ranks 2] [--rounds 30]
 *
 * The gradients are those of a network of a million parameters, on the cpu backend. Both are measured in one run, in
 * alternation, so that they meet the same machine; the ratio is the median of the rounds' ratios on the slowest rank. The exit
 * code is 1 if it is above 0.67. On a machine that has no core to spare for each rank, both wait for it, and the ratio tends to 1.
 */
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { initProcessGroup, type ProcessGroup } from "webccl";
import { averageGradients } from "webccl/tfjs";
import { toldBy, wholeOption } from "../scripts/command-line.ts";
import { run } from "../src/cli/run.ts";

/** Four layers of 512: 1,050,624 parameters in eight tensors. */
const SHAPES = Array.from({ length: 4 }, () => [[512, 512] as const, [512] as const]).flat();

const LIMIT = 0.67;

async function byHand(group: ProcessGroup, grads: tf.NamedTensorMap): Promise<tf.NamedTensorMap> {
  const names = Object.keys(grads);
  const values = await Promise.all(names.map((name) => grads[name]!.data()));
  const flat = new Float32Array(values.reduce((count, { length }) => count + length, 0));
  let at = 0;
  for (const part of values) {
    flat.set(part, at);
    at += part.length;
  }
  await group.allReduce(flat, { op: "avg" });
  at = 0;
  return Object.fromEntries(
    names.map((name) => {
      const { size, shape } = grads[name]!;
      at += size;
      return [name, tf.tensor(flat.slice(at - size, at), shape)];
    }),
  );
}

async function measure(rounds: number): Promise<void> {
  const group = await initProcessGroup();
  await tf.setBackend("cpu");
  const grads = Object.fromEntries(SHAPES.map((shape, i) => [`layer ${i}`, tf.randomUniform([...shape])]));
  const ways = { averageGradients, byHand };
  const time = async (way: (group: ProcessGroup, grads: tf.NamedTensorMap) => Promise<tf.NamedTensorMap>) => {
    await group.barrier();
    const start = performance.now();
    const averaged = await way(group, grads);
    const slowest = Float64Array.of(performance.now() - start);
    tf.dispose(averaged);
    await group.allReduce(slowest, { op: "max" });
    return slowest[0]!;
  };
  const times: { ours: number; hand: number }[] = [];
  for (let round = -5; round < rounds; round++) {
    const first = round % 2 === 0;
    const early = await time(first ? ways.averageGradients : ways.byHand);
    const late = await time(first ? ways.byHand : ways.averageGradients);
    if (round >= 0) times.push(first ? { ours: early, hand: late } : { ours: late, hand: early });
  }
  if (group.rank === 0) {
    const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
    const [ours, hand] = [median(times.map((one) => one.ours)), median(times.map((one) => one.hand))];
    const ratio = median(times.map((one) => one.ours / one.hand));
    console.log(
      `${group.size} ranks, 1,050,624 parameters: averageGradients ${ours.toFixed(2)} ms, by hand ${hand.toFixed(2)} ms, ratio ${ratio.toFixed(2)}`,
    );
    if (ratio > LIMIT) process.exitCode = 1;
  }
  await group.destroy();
}

const USAGE = `npx tsx bench/tfjs-averaging.ts [options]
  --ranks N     (2)
  --rounds N    turns of each way (30)`;
const text = { type: "string" } as const;
const { ranks, rounds } = toldBy(USAGE, { ranks: text, rounds: text }, ({ values }) => ({
  ranks: wholeOption("--ranks", values.ranks ?? "2", 1),
  rounds: wholeOption("--rounds", values.rounds ?? "30", 1),
}));
if (process.env.RANK === undefined) {
  const script = fileURLToPath(import.meta.url);
  process.exitCode = await run({ ranks, script, args: ["--rounds", String(rounds)] });
} else await measure(rounds);
