/** What ranks in pages try of ONNX Runtime's WebGPU execution provider. Each gives plain values, which the test compares. */
import type * as Ort from "onnxruntime-web/webgpu";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import {
  columnShard,
  deviceOf,
  recvActivation,
  runColumnParallel,
  runRowParallel,
  sendActivation,
  shardLengths,
} from "../../src/ort/index.ts";
import { encodeOnnx, type OnnxModel } from "../helpers/onnx.ts";
import { floatsOf, MLP_DIMS, mlpFeeds, wholeNumbersOf } from "./mlp.ts";
import { MATMUL, MLP } from "./models.ts";

type OrtModule = typeof Ort;
type Join = (device?: GPUDevice) => Promise<ProcessGroup>;

/** What a page is told to do. */
export interface PageJob {
  check: keyof typeof CHECKS;
  options: InitOptions;
}

/** A session whose outputs stay on the GPU. */
function createSession(ort: OrtModule, model: OnnxModel, device?: GPUDevice): Promise<Ort.InferenceSession> {
  return ort.InferenceSession.create(encodeOnnx(model), {
    executionProviders: [device ? { name: "webgpu", device } : "webgpu"],
    preferredOutputLocation: "gpu-buffer",
  });
}

/** The numbers of an output, which is disposed of. */
async function take(output: Ort.Tensor | undefined): Promise<number[]> {
  return Array.from((await output?.getData(true)) as Float32Array);
}

async function errorOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return String(error);
  }
  return "no error";
}

/** The sum of a perceptron's partial outputs, in ONNX Runtime's own buffers. */
async function perceptron(ort: OrtModule, join: Join) {
  const early = await errorOf(() => deviceOf(ort.env));
  const session = await createSession(ort, MLP);
  const group = await join(await deviceOf(ort.env));
  const results: Record<string, { whole: number[]; sum: number[] }> = {};
  let size = 0;
  for (const [name, numbers] of Object.entries({ floats: floatsOf, wholeNumbers: wholeNumbersOf })) {
    const { y: whole } = await session.run(mlpFeeds(ort, numbers, MLP_DIMS));
    const { y: sum } = await runRowParallel(group, session, mlpFeeds(ort, numbers, MLP_DIMS, group));
    if (sum?.location !== "gpu-buffer") throw new Error(`the output lies in ${sum?.location}`);
    size = sum.gpuBuffer.size;
    results[name] = { whole: await take(whole), sum: await take(sum) };
  }
  const { maxStorageBuffersPerShaderStage } = group.device!.limits;
  const executor = group.info().ranks[group.rank];
  await group.destroy();
  return { early, results, size, maxStorageBuffersPerShaderStage, executor };
}

/** Many runs one after another, whose sums are inputs of the next: ONNX Runtime and webccl write the buffers in turn. */
async function manyRuns(ort: OrtModule, join: Join) {
  const live = countBuffers();
  const session = await createSession(ort, MATMUL);
  const group = await join(await deviceOf(ort.env));
  // Each rank has the matrix that turns a row by one place and halves it: the sum over two ranks is the row, turned.
  const turn = new Float32Array(49);
  for (let row = 0; row < 7; row++) turn[7 * row + ((row + 1) % 7)] = 1 / group.size;
  const w = new ort.Tensor("float32", turn, [7, 7]);
  let x: Ort.Tensor = new ort.Tensor("float32", wholeNumbersOf(21, "x"), [3, 7]);
  const buffers: number[] = [];
  for (let run = 1; run <= 250; run++) {
    const { y } = await runRowParallel(group, session, { x, w });
    x.dispose();
    x = y as Ort.Tensor;
    if (run % 50 === 0) buffers.push(live());
  }
  const outcome = { buffers, last: await take(x) };
  await group.destroy();
  return outcome;
}

/** Counts the GPUBuffers that were made from here on and not destroyed. */
function countBuffers(): () => number {
  const { createBuffer } = GPUDevice.prototype;
  const { destroy } = GPUBuffer.prototype;
  const live = new Set<GPUBuffer>();
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    live.add(buffer);
    return buffer;
  };
  GPUBuffer.prototype.destroy = function () {
    live.delete(this);
    return destroy.call(this);
  };
  return () => live.size;
}

/** Columns of all ranks, joined on the GPU. */
async function columns(ort: OrtModule, join: Join) {
  const session = await createSession(ort, MATMUL);
  const group = await join(await deviceOf(ort.env));
  const joined: Record<string, { dims: readonly number[]; location: string; data: number[]; whole: number[] }> = {};
  for (const rows of [1, 5]) {
    const x = new ort.Tensor("float32", wholeNumbersOf(rows * 4, "x"), [rows, 4]);
    const numbers = wholeNumbersOf(4 * 7, "w");
    const { data, dims } = columnShard(numbers, [4, 7], group);
    const w = new ort.Tensor("float32", data, dims);
    const options = { Tensor: ort.Tensor, columns: shardLengths(7, group.size) };
    const part = await runColumnParallel(group, session, { x, w }, options);
    const { y } = await session.run({ x, w: new ort.Tensor("float32", numbers, [4, 7]) });
    const { location } = part;
    joined[rows] = { dims: part.dims, location, data: await take(part), whole: await take(y) };
  }
  await group.destroy();
  return joined;
}

/** Stages of a pipeline, whose activations stay on the GPU at both ends; the session runs on a device that was given. */
async function pipeline(ort: OrtModule, join: Join) {
  const group = await join();
  const session = await createSession(ort, MATMUL, group.device!);
  const notOrts = await errorOf(() => deviceOf(ort.env));
  const stage = async (x: Ort.Tensor, rank: number) => {
    const w = new ort.Tensor("float32", wholeNumbersOf(9, `w${rank}`), [3, 3]);
    return (await session.run({ x, w })).y as Ort.Tensor;
  };
  const x = new ort.Tensor("float32", wholeNumbersOf(21, "x"), [7, 3]);
  let whole: Ort.Tensor = x;
  for (let rank = 0; rank < group.size; rank++) whole = await stage(whole, rank);
  const { Tensor } = ort;
  const { rank, size } = group;
  const input = rank === 0 ? x : await recvActivation(group, rank - 1, { Tensor, location: "gpu-buffer" });
  const output = await stage(input, rank);
  if (rank < size - 1) await sendActivation(group, output, rank + 1);
  await group.barrier();
  const { maxStorageBuffersPerShaderStage } = group.device!.limits;
  const outcome = {
    notOrts,
    location: input.location,
    maxStorageBuffersPerShaderStage,
    output: await take(output),
    whole: await take(whole),
  };
  await session.release();
  // The device was not ONNX Runtime's own: it is still there.
  await group.allReduce(new Float32Array(1));
  await group.destroy();
  return outcome;
}

/** Buffers of float16 with an odd count, on ONNX Runtime's device. */
async function halves(ort: OrtModule, join: Join) {
  await createSession(ort, MATMUL);
  const device = await deviceOf(ort.env);
  const group = await join(device);
  const buffer = device.createBuffer({ size: 16, usage: 0x80 | 0x8 | 0x4 });
  device.queue.writeBuffer(buffer, 0, Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 9, 9, 9));
  const tensor = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float16", dims: [5] });
  await group.allReduce(tensor);
  const copy = new Uint16Array(5);
  if (group.rank === 0) await group.send(tensor, 1);
  else await group.recv({ data: copy, dtype: "f16" }, 0);
  await group.barrier();
  await group.destroy();
  return [...copy];
}

/** The last session without a device of its own is released: so is ONNX Runtime's device, and the group cannot go on. */
async function released(ort: OrtModule, join: Join) {
  const session = await createSession(ort, MATMUL);
  const group = await join(await deviceOf(ort.env));
  await group.barrier();
  if (group.rank === 0) await session.release();
  const error = await errorOf(async () => {
    for (;;) await group.barrier();
  });
  await group.destroy();
  return error;
}

export const CHECKS = { perceptron, manyRuns, columns, pipeline, halves, released } as const;
