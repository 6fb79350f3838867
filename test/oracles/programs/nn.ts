/**
 * `npm run nightly -- nn-pytorch`: webccl/nn against torch.distributed.nn.functional on drawn inputs. With `--record` it writes
 * test/oracles/nn.json, which `npm test` compares.
 */
import { writeFileSync } from "node:fs";
import { askPytorch, differences, drawCases } from "../nn-vectors.ts";

const isRecording = process.argv.includes("--record");
const seed = Number(process.env.WEBCCL_TEST_SEED ?? (isRecording ? 1 : Math.floor(Math.random() * 2 ** 31)));
const vectors = askPytorch(drawCases(seed, isRecording ? 3 : 40));
const { wrong, compared } = await differences(vectors);
console.log(
  `PyTorch ${vectors.torch}, seed ${seed}: ${vectors.cases.length} calls, ${compared} results compared, ${wrong.length} differ`,
);
for (const line of wrong.slice(0, 10)) console.error(line);
if (wrong.length > 0) process.exitCode = 1;
else if (isRecording) writeFileSync(new URL("../nn.json", import.meta.url), `${JSON.stringify(vectors)}\n`);
