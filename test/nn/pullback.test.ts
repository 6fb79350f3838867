import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { describe as describeTensor } from "../../src/tensor/describe.ts";
import { tensorOver } from "../../src/tensor/host.ts";
import { gpuMemory } from "../../src/testing/gpu-memory.ts";
import { arrayOf, decodeSmallFloat, encodeSmallFloat, isSmallFloat } from "../../src/testing/reference.ts";
import type { DataType, GpuTensor, HostArray, HostTensor, Tensor } from "../../src/types.ts";
import { type TestTransport, withGroup } from "../conformance/harness.ts";
import { defaultDevice } from "../helpers/gpu.ts";
import {
  type Case,
  callOf,
  caseOf,
  inputForm,
  type Lists,
  listOf,
  MOVES,
  OPS,
  outputForm,
  REDUCTIONS,
} from "./cases.ts";
import { type Expected, expectedOf } from "./reference.ts";

const SEED = Number(process.env.WEBCCL_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`pullback.test.ts: WEBCCL_TEST_SEED=${SEED}`);

/** Where a case's tensors lie. */
interface Memory {
  dtype: DataType;
  /** The largest error, as a share of the value and 1. */
  tolerance: number;
  place(tensor: HostArray | HostTensor): Tensor;
  read(tensor: Tensor): Promise<Uint8Array>;
}

function hostMemory(dtype: DataType, tolerance: number): Memory {
  const read = async (tensor: Tensor) => {
    const { buffer, byteOffset, byteLength } = describeTensor(tensor);
    return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  };
  return { dtype, tolerance, place: (tensor) => tensor, read };
}

function deviceMemory(device: GPUDevice, dtype: DataType, tolerance: number): Memory {
  const place = (tensor: HostArray | HostTensor) => {
    const { buffer, byteOffset, byteLength } = describeTensor(tensor);
    const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset as number, byteLength);
    const region = new Uint8Array(Math.ceil(bytes.length / 4) * 4 + 8);
    region.set(bytes, 4);
    return gpuMemory(device).place(dtype, region, 4, 4 + bytes.length).tensor;
  };
  const read = async (tensor: Tensor) => {
    const { byteOffset, byteLength } = describeTensor(tensor);
    const copy = device.createBuffer({ size: (tensor as GpuTensor).buffer.size, usage: 0x8c });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer((tensor as GpuTensor).buffer, 0, copy, 0, copy.size);
    device.queue.submit([encoder.finish()]);
    // What is collected is destroyed.
    const held = { tensor: { ...(tensor as GpuTensor), buffer: copy }, part: () => null, refill() {} };
    const [region] = await gpuMemory(device).collect([held]);
    return (region as Uint8Array).slice(byteOffset, byteOffset + byteLength);
  };
  return { dtype, tolerance, place, read };
}

function tensorOf({ dtype, place }: Memory, values: readonly number[]): Tensor {
  const array = arrayOf(dtype, values.length) as { [i: number]: number } & HostArray;
  values.forEach((value, i) => {
    array[i] = isSmallFloat(dtype) ? encodeSmallFloat(dtype, value) : value;
  });
  return place(tensorOver(dtype, array));
}

async function valuesOf({ dtype, read }: Memory, tensor: Tensor): Promise<number[]> {
  const { count, dtype: actual } = describeTensor(tensor);
  expect(actual).toBe(dtype);
  const bytes = await read(tensor);
  const array = arrayOf(dtype, count) as Float64Array;
  new Uint8Array(array.buffer).set(bytes);
  return Array.from(array, (bits) => (isSmallFloat(dtype) ? decodeSmallFloat(dtype, bits) : bits));
}

async function expectClose(memory: Memory, form: unknown, expected: number[][], name: string): Promise<void> {
  const actual = await Promise.all(listOf(form).map((tensor) => valuesOf(memory, tensor)));
  expect(
    actual.map((list) => list.length),
    name,
  ).toEqual(expected.map((list) => list.length));
  actual.forEach((list, k) => {
    list.forEach((value, i) => {
      const right = expected[k]?.[i] as number;
      const error = Math.abs(value - right) / Math.max(1, Math.abs(right));
      expect(error, `${name}[${k}][${i}] is ${value}, and not ${right}`).toBeLessThanOrEqual(memory.tolerance);
    });
  });
}

/** Runs a case on one rank and compares all results; every pullback is called twice. */
async function check(group: ProcessGroup, one: Case, expected: Expected, memory: Memory): Promise<void> {
  const { collective } = one;
  const { rank } = group;
  const place = (lists: Lists) => (lists[rank] as number[][]).map((values) => tensorOf(memory, values));
  const x = place(one.x);
  const like = tensorOf(memory, new Array<number>(one.counts[0]?.[0] ?? 0).fill(9));
  const [y, pullback] = await callOf(group, one, inputForm(collective, x), like);
  await expectClose(memory, y, expected.y[rank] as number[][], "y");
  const gy = place(one.gy);
  const ggx = place(one.ggx);
  const gyForm = outputForm(collective, gy);
  for (let call = 0; call < 2; call++) {
    await expectClose(memory, await pullback(gyForm), expected.gx[rank] as number[][], "gx");
  }
  const [gx, second] = await pullback.withPullback(gyForm);
  await expectClose(memory, gx, expected.gx[rank] as number[][], "gx");
  for (let call = 0; call < 2; call++) {
    const [ggy, xx] = (await second(inputForm(collective, ggx))) as [unknown, unknown];
    await expectClose(memory, ggy, expected.ggy[rank] as number[][], "ggy");
    await expectClose(memory, xx, expected.xx[rank] as number[][], "the second derivative by x");
  }
  await expectClose(memory, inputForm(collective, x), one.x[rank] as number[][], "x afterwards");
  await expectClose(memory, gyForm, one.gy[rank] as number[][], "gy afterwards");
  second.free();
  pullback.free();
}

const COMBINATIONS = [
  ...REDUCTIONS.flatMap((collective) => OPS.map((op) => [collective, op] as const)),
  ...MOVES.map((collective) => [collective, "sum"] as const),
];

/** `runs` cases of each kind on one group. */
async function checkAll(
  size: number,
  runs: number,
  memories: readonly Memory[],
  { transport = "memory", device, most }: { transport?: TestTransport; device?: GPUDevice; most?: number } = {},
): Promise<void> {
  const drawn = COMBINATIONS.flatMap(([collective, op], i) =>
    fc.sample(caseOf(collective, op, size, { min: 0, max: most ?? 5 }), { numRuns: runs, seed: SEED + i }),
  ).map((one) => ({ one, expected: expectedOf(one) }));
  await withGroup(
    transport,
    size,
    async (group) => {
      for (const memory of memories) {
        for (const { one, expected } of drawn) {
          await check(group, one, expected, memory).catch((error: Error) => {
            throw new Error(
              `${error.message}\nrank ${group.rank}, ${memory.dtype}, seed ${SEED}: ${JSON.stringify(one)}`,
            );
          });
        }
      }
    },
    device ? { device, backend: "webgpu" } : {},
  );
}

describe("pullback()", () => {
  it.each([1, 2, 3, 4, 5])(
    "is the Jacobian's transpose, once and twice, for every collective and op of %i ranks",
    async (size) => {
      await checkAll(size, 8, [hostMemory("f64", 1e-12)]);
    },
  );

  it("holds for the shorter floats", async () => {
    await checkAll(2, 2, [hostMemory("f32", 1e-6), hostMemory("f16", 4e-3), hostMemory("bf16", 4e-2)]);
  });

  it.each(["mapped-memory", "shared-file", "websocket", "hub"] as const)("holds over %s", async (transport) => {
    await checkAll(3, 1, [hostMemory("f64", 1e-12)], { transport });
  });

  it("holds for tensors longer than a share of one word", async () => {
    await checkAll(3, 1, [hostMemory("f64", 1e-12)], { most: 40 });
  });
});

describe("pullback() in GPUBuffers", () => {
  let device: GPUDevice;
  beforeAll(async () => {
    device = await defaultDevice();
  });

  it.each([2, 3])("is the Jacobian's transpose, once and twice, on %i ranks", async (size) => {
    const memories = [deviceMemory(device, "f32", 1e-6), deviceMemory(device, "bf16", 4e-2)];
    await checkAll(size, 1, memories, { device });
  });
});
