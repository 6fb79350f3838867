/**
 * Tensor-parallel inference: the GPT that train.ts has trained writes text, computed by several ranks together, each of which
 * has a part of every matrix:
 *
 *   npx webccl run -n 4 examples/gpt/train.ts --onnx gpt.onnx
 *   npx webccl run -n 4 --browsers 2 examples/gpt/generate.ts --model gpt.onnx
 *
 * Rank 0 cuts the model and gives each rank ONNX files with its share of the heads and of the MLPs (onnx/export.ts). ONNX Runtime
 * computes them with its WebAssembly provider; `runRowParallel` adds the parts of a sum up, two sums for each block, and
 * `runColumnParallel` joins the logits. Every rank then takes the likeliest character. Rank 0 also runs the whole model
 * alone, and compares the characters. Nothing of earlier characters is kept: each run computes the whole context.
 *
 * Options: --model FILE, --prompt "Shall I compare thee ", --tokens 100, --json (one line at the end).
 */
import * as ort from "onnxruntime-web";
import { initProcessGroup } from "webccl";
import { wireBytes } from "webccl/ddp";
import { runColumnParallel, runRowParallel, shardLengths } from "webccl/ort";
import type { RankFiles } from "./onnx/export.ts";
import type { GptShape } from "./shape.ts";
import { decode, encode } from "./text.ts";

/** What rank 0 tells of it. */
export interface Generated {
  ranks: string[];
  text: string;
  /** The characters are those of one process. */
  same: boolean;
  tokensPerSecond: number;
  /** Of rank 0 alone, with the whole model. */
  tokensPerSecondAlone: number;
  /** The payload that all ranks together send for a character with a full context, by the formula of the ring. */
  bytesPerToken: number;
  /** The numbers of the model that each rank holds. */
  weights: number[];
}

/** What all ranks must know of a run. */
interface Task {
  shape: GptShape;
  prompt: string;
  tokens: number;
}

ort.env.wasm.numThreads = 1;
const group = await initProcessGroup();
const { rank, size } = group;

const own = rank === 0 ? await readTask() : null;
const task = await group.broadcastObject<Task | null>(
  own && { shape: own.shape, prompt: own.prompt, tokens: own.tokens },
);
if (!task) throw new Error("rank 0 gave no task");
const { shape, prompt, tokens } = task;
const files = (await group.scatterObject(own?.files ?? null)) as RankFiles;
const open = (file: Uint8Array) => ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
const embedding = await open(files.embedding);
const parts: ort.InferenceSession[] = [];
for (const part of files.parts) parts.push(await open(part));
const head = await open(files.head);

/** The logits of the character behind `text`, the same on every rank. */
async function logitsTogether(text: readonly number[]): Promise<ort.Tensor> {
  const x = (await embedding.run(inputOf(text))).x!;
  const sum = x.data as Float32Array;
  for (const part of parts) {
    const { y } = await runRowParallel(group, part, { x });
    (y!.data as Float32Array).forEach((one, i) => {
      sum[i]! += one;
    });
  }
  const columns = shardLengths(shape.characters, size);
  return runColumnParallel(group, head, { x }, { Tensor: ort.Tensor, columns });
}

function inputOf(text: readonly number[]) {
  const seen = text.slice(-shape.context);
  return { characters: new ort.Tensor("int64", BigInt64Array.from(seen, BigInt), [seen.length]) };
}

/** The last row's greatest number. */
function likeliest({ data, dims }: ort.Tensor): number {
  const last = (data as Float32Array).subarray(-dims[1]!);
  return last.indexOf(last.reduce((most, one) => Math.max(most, one)));
}

/** `prompt` and the characters that follow it, each the likeliest by `logits`; and how many came in a second. */
async function write(logits: (text: readonly number[]) => Promise<ort.Tensor>) {
  const text = encode(prompt);
  const start = performance.now();
  for (let i = 0; i < tokens; i++) text.push(likeliest(await logits(text)));
  return { text: decode(text), tokensPerSecond: (1000 * tokens) / (performance.now() - start) };
}

const together = await write(logitsTogether);
const texts = await group.gatherObject(together.text);
if (own && texts) {
  const whole = await open(own.model);
  const alone = await write(async (text) => (await whole.run(inputOf(text))).logits!);
  const summed = wireBytes.allReduce(2 * shape.blocks * shape.context * shape.width, size);
  // The logits go in an allGather: each rank's part to all the others.
  const gathered = 4 * shape.characters * (size - 1);
  const generated: Generated = {
    ...{ ranks: group.info().ranks.map(({ runtime }) => runtime), text: alone.text },
    ...{ same: texts.every((text) => text === alone.text), tokensPerSecond: together.tokensPerSecond },
    ...{ tokensPerSecondAlone: alone.tokensPerSecond, bytesPerToken: summed + gathered, weights: own.weights },
  };
  if (own.json) console.log(JSON.stringify(generated));
  else {
    console.log(`${generated.text}\n`);
    console.log(`${generated.ranks.join(", ")} hold ${generated.weights.join(" + ")} weights each`);
    console.log(
      `${together.tokensPerSecond.toFixed(1)} characters a second together, ${alone.tokensPerSecond.toFixed(1)} of one process; ` +
        `all ranks together send ${generated.bytesPerToken} bytes for a character`,
    );
    console.log(generated.same ? "the same characters as one process" : "NOT the characters of one process");
  }
  if (!generated.same) process.exitCode = 1;
}
await group.destroy();

/** The command line of rank 0, and the model cut for each rank. */
async function readTask() {
  const { countOf } = await import("../shared/progress.ts");
  const { parseArgs } = await import("node:util");
  const { readFile } = await import("node:fs/promises");
  const { rankFiles, readModel, weightsIn } = await import("./onnx/export.ts");
  const text = { type: "string" } as const;
  const options = { model: text, prompt: text, tokens: text, json: { type: "boolean" } } as const;
  const { values } = parseArgs({ options });
  if (values.model === undefined) throw new Error("--model FILE is missing: train.ts --onnx FILE writes one");
  const model = await readFile(values.model);
  const { shape: read, weights } = readModel(model);
  const all = Array.from({ length: size }, (_, member) => rankFiles(read, weights, { rank: member, size }));
  return {
    ...{ model, shape: read, files: all, prompt: values.prompt ?? "Shall I compare thee " },
    ...{
      tokens: countOf("tokens", values.tokens, 100),
      json: values.json ?? false,
      weights: all.map((one) => weightsIn(one, read)),
    },
  };
}
