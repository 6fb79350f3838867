import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import * as ort from "onnxruntime-web";
import { beforeAll, describe, expect, it } from "vitest";
import type { Generated } from "../../examples/gpt/generate.ts";
import { logitsOf, makeWeights } from "../../examples/gpt/model.ts";
import { rankFiles, readModel, wholeModel } from "../../examples/gpt/onnx/export.ts";
import { SHAPE } from "../../examples/gpt/shape.ts";
import { testBatch } from "../../examples/gpt/text.ts";
import { numbersOf } from "../../examples/gpt/weights.ts";
import { build, isBuilt } from "../../scripts/build.ts";
import { start } from "../cli/command.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const GENERATE = fileURLToPath(new URL("../../examples/gpt/generate.ts", import.meta.url));

beforeAll(async () => {
  if (!isBuilt()) await build();
  await tf.setBackend("cpu");
  ort.env.wasm.numThreads = 1;
}, 120_000);

describe("the GPT's ONNX file", () => {
  it.each([1, 7, 32])("has the logits of tf.js for %i characters", async (length) => {
    const weights = makeWeights(SHAPE, 3);
    const file = wholeModel(SHAPE, await numbersOf(weights));
    const session = await ort.InferenceSession.create(file);
    const { inputs } = testBatch(1, length);
    const characters = new ort.Tensor("int64", BigInt64Array.from(inputs, BigInt), [length]);
    const { logits } = await session.run({ characters });
    const expected = tf.tidy(() => logitsOf(SHAPE, weights, inputs, 1).dataSync());
    expect(logits!.dims).toEqual([length, SHAPE.characters]);
    const farthest = Array.from(expected, (x, i) => Math.abs(x - Number(logits!.data[i])));
    expect(Math.max(...expected)).toBeGreaterThan(0.5);
    expect(Math.max(...farthest)).toBeLessThan(1e-5);
  });

  it("gives shape and weights back, and refuses more ranks than heads", async () => {
    const numbers = await numbersOf(makeWeights(SHAPE, 3));
    const read = readModel(wholeModel(SHAPE, numbers));
    expect(read).toEqual({ shape: SHAPE, weights: numbers });
    const files = rankFiles(SHAPE, numbers, { rank: 0, size: 2 });
    expect(() => readModel(files.head)).toThrow("train.ts --onnx writes one");
    expect(() => rankFiles(SHAPE, numbers, { rank: 0, size: 5 })).toThrow(/4 units of 8 are too few for 5 ranks/);
  });
});

describe("examples/gpt/generate.ts", { timeout: 240_000 }, () => {
  it.each([
    ["four Node ranks", 4, []],
    ["a Node rank and a tab", 2, ["--browsers", "1"]],
  ] as const)("writes with %s the characters of one process", async (_name, ranks, flags) => {
    const file = join(temporaryFolder(), "gpt.onnx");
    writeFileSync(file, wholeModel(SHAPE, await numbersOf(makeWeights(SHAPE, 3))));
    const words = ["run", "-n", String(ranks), ...flags, GENERATE, "--model", file, "--tokens", "16", "--json"];
    const { code, stdout, stderr } = await start(words).ended;
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    const generated = JSON.parse(/\{.*\}/.exec(stdout)?.[0] ?? "") as Generated;
    expect(generated.same).toBe(true);
    expect(generated.text).toMatch(/^Shall I compare thee /);
    expect(generated.text).toHaveLength(21 + 16);
    expect(new Set(generated.text.slice(21)).size).toBeGreaterThan(1);
    expect(generated.ranks).toEqual(["node", ...Array(ranks - 1).fill(ranks === 2 ? "browser" : "node")]);
    expect(generated.tokensPerSecond).toBeGreaterThan(0);
    // 2 sums of 32 rows of 32 f32 in each of 2 blocks, to their owners and back; and 61 logits to all other ranks.
    expect(generated.bytesPerToken).toBe((ranks - 1) * (2 * 4 * 32 * 32 * 4 + 61 * 4));
    // Tables of 61 characters and 32 places are whole on each rank; all else is shared.
    const whole = (61 + 32) * 32;
    const shared = generated.weights.map((count) => count - whole).reduce((a, b) => a + b);
    expect(shared).toBe(2 * 12 * 32 * 32 + 32 * 61);
  });
});
