/**
 * The blocks of a bucket of f32 in a GPUBuffer: the kernels of int8Hook's steps, with the bits of int8-host.ts. An invocation does one
 * block, from the values to the record and what it lacks, in one pass.
 */
import { runGpuProgram } from "../../../elementwise/gpu-program.ts";
import { describeGpu } from "../../../tensor/gpu.ts";
import type { GpuView } from "../../../tensor/view.ts";
import type { GpuTensor } from "../../../types.ts";
import { createBuffer, deviceOf } from "../../host-copy.ts";
import {
  type Blocks,
  INFINITY_BITS,
  type Int8Job,
  LEAST_BITS,
  NAN_BITS,
  ownedCount,
  SCALE_MASK,
  STEP,
  wordsOfBlock,
} from "./int8-blocks.ts";

/** What a rank keeps of a bucket in GPUBuffers: what was lost of its own gradients, and of the blocks that it owns. */
export interface GpuKept {
  readonly own: GpuTensor;
  readonly owned: GpuTensor;
}

/** Nothing kept yet. */
export function keepOnGpu(job: Int8Job): GpuKept {
  return { own: allocate(job, "f32", job.count), owned: allocate(job, "f32", ownedCount(job)) };
}

/**
 * Encodes elements `start` to `end` of `kept`, whose largest magnitude has the bits `most`, as record `record`. The quotient by an
 * approximate inverse may miss the nearest integer by one; the rest, which is exact (the product has 23 bits, and the
 * difference is small), tells.
 */
const ENCODE = `
fn encode(record: u32, start: u32, end: u32, most: u32) {
  let at = record * params.stride;
  let broken = most >= ${INFINITY_BITS}u;
  if (broken || most < ${LEAST_BITS}u) {
    for (var word = 1u; word < params.stride; word++) { set_records_word(at + word, 0u); }
    set_records_word(at, select(0u, ${NAN_BITS}u, broken));
    for (var i = start; broken && i < end; i++) { set_kept_word(i, 0u); }
    return;
  }
  let scale_bits = bitcast<u32>(bitcast<f32>(most) * params.step) & ${SCALE_MASK}u;
  let scale = bitcast<f32>(scale_bits ^ params.zero);
  let inverse = 1.0 / scale;
  set_records_word(at, scale_bits);
  for (var word = 1u; word < params.stride; word++) {
    var bytes = 0u;
    for (var lane = 0u; lane < 4u; lane++) {
      let i = start + 4u * (word - 1u) + lane;
      if (i < end) {
        let x = bitcast<f32>(kept_word(i));
        var q = i32(round(x * inverse));
        let rest = x - f32(q) * scale;
        let half = 0.5 * scale;
        if (rest > half || (rest == half && (q & 1) != 0)) { q++; }
        if (rest < -half || (rest == -half && (q & 1) != 0)) { q--; }
        set_kept_word(i, bitcast<u32>(x - f32(q) * scale));
        bytes |= (bitcast<u32>(q) & 0xffu) << (8u * lane);
      }
    }
    set_records_word(at + word, bytes);
  }
}`;

const RUN_ENCODE = `${ENCODE}
fn run(block: u32) {
  let start = block * params.block_size;
  let end = min(params.count, start + params.block_size);
  var most = 0u;
  for (var i = start; i < end; i++) {
    var bits = values_word(i);
    if (params.feedback == 1u) { bits = bitcast<u32>(bitcast<f32>(bits) + bitcast<f32>(kept_word(i))); }
    set_kept_word(i, bits);
    most = max(most, bits & 0x7fffffffu);
  }
  encode(block, start, end, most);
}`;

const RUN_ENCODE_MEAN = `${ENCODE}
fn run(block: u32) {
  let start = block * params.block_size;
  let end = min(params.count, start + params.block_size);
  var most = 0u;
  for (var i = start; i < end; i++) {
    let element = i - start;
    var sum = 0.0;
    var broken = false;
    for (var rank = 0u; rank < params.ranks; rank++) {
      let at = (rank * params.blocks + block) * params.stride;
      let scale_bits = received_word(at);
      broken = broken || (scale_bits & 0x7fffffffu) > ${INFINITY_BITS}u;
      let q = bitcast<i32>(received_word(at + 1u + element / 4u) << (24u - 8u * (element % 4u))) >> 24u;
      sum = sum + f32(q) * bitcast<f32>(scale_bits);
    }
    // See "Pinning" in docs/arithmetic.md.
    let mean = bitcast<f32>(bitcast<u32>(sum * params.factor) ^ params.zero);
    var bits = bitcast<u32>(mean);
    if (params.feedback == 1u) { bits = bitcast<u32>(mean + bitcast<f32>(kept_word(i))); }
    if (broken) { bits = ${NAN_BITS}u; }
    set_kept_word(i, bits);
    most = max(most, bits & 0x7fffffffu);
  }
  encode(params.first + block, start, end, most);
}`;

const RUN_DECODE = `
fn run(block: u32) {
  let start = block * params.block_size;
  let end = min(params.count, start + params.block_size);
  let at = block * params.stride;
  let scale_bits = records_word(at);
  let broken = (scale_bits & 0x7fffffffu) > ${INFINITY_BITS}u;
  for (var i = start; i < end; i++) {
    let element = i - start;
    let q = bitcast<i32>(records_word(at + 1u + element / 4u) << (24u - 8u * (element % 4u))) >> 24u;
    set_values_word(i, select(bitcast<u32>(f32(q) * bitcast<f32>(scale_bits)), ${NAN_BITS}u, broken));
  }
}`;

/** See the file's head. */
export class GpuBlocks implements Blocks {
  readonly records: GpuTensor;
  readonly received: GpuTensor;
  readonly #job: Int8Job;
  readonly #device: GPUDevice;
  readonly #values: GpuView;
  readonly #kept: GpuKept;

  /** `values` become the average. */
  constructor(job: Int8Job, values: GpuView, kept: GpuKept) {
    const stride = wordsOfBlock(job.blockSize);
    this.#job = job;
    this.#device = deviceOf(job.group);
    this.#values = values;
    this.#kept = kept;
    this.records = allocate(job, "u32", Math.ceil(job.count / job.blockSize) * stride);
    this.received = allocate(job, "u32", job.group.size * job.mine.count * stride);
  }

  encode(): void {
    const { count, errorFeedback } = this.#job;
    const tensors = { values: this.#values, kept: describeGpu(this.#kept.own), records: describeGpu(this.records) };
    this.#run(RUN_ENCODE, count, tensors, ["kept", "records"], { feedback: Number(errorFeedback) });
  }

  encodeMean(): void {
    const { group, mine, errorFeedback } = this.#job;
    const tensors = {
      received: describeGpu(this.received),
      kept: describeGpu(this.#kept.owned),
      records: describeGpu(this.records),
    };
    const numbers = { ranks: group.size, blocks: mine.count, first: mine.start, feedback: Number(errorFeedback) };
    this.#run(RUN_ENCODE_MEAN, ownedCount(this.#job), tensors, ["kept", "records"], numbers);
  }

  decode(): void {
    const tensors = { records: describeGpu(this.records), values: this.#values };
    this.#run(RUN_DECODE, this.#job.count, tensors, ["values"], {});
  }

  discard(): void {
    this.records.buffer.destroy();
    this.received.buffer.destroy();
  }

  /** Runs the code once for each block of `count` elements. */
  #run(
    code: string,
    count: number,
    tensors: Readonly<Record<string, GpuView>>,
    writes: readonly string[],
    numbers: Readonly<Record<string, number>>,
  ): void {
    const { blockSize, group } = this.#job;
    runGpuProgram(this.#device, {
      code,
      tensors,
      writes,
      u32: { count, block_size: blockSize, stride: wordsOfBlock(blockSize), ...numbers },
      f32: { step: STEP, factor: 1 / group.size },
      invocations: Math.ceil(count / blockSize),
    });
  }
}

function allocate({ group }: Int8Job, dtype: "f32" | "u32", count: number): GpuTensor {
  return { buffer: createBuffer(deviceOf(group), 4 * count), dtype, count };
}
