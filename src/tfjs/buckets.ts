/** Tensors of tf.js packed into flat buckets, which collectives take, and back. */
import type { ProcessGroup } from "../group/process-group.ts";
import { describe } from "../tensor/describe.ts";
import type { GpuTensor, HostArray, Tensor } from "../types.ts";
import type { Named } from "./agreement.ts";
import { engineInUse, type TfEngine, type TfTensor } from "./engine.ts";
import { takeScratch } from "./scratch.ts";

/** What tf.js's dtypes are called here. Its complex64 and string have no counterpart. */
const DTYPES: ReadonlyMap<string, "f32" | "i32" | "u8"> = new Map([
  ["float32", "f32"],
  ["int32", "i32"],
  ["bool", "u8"],
] as const);

/** Tensors of one dtype, in the order of the list that they come from. */
export interface BucketPlan {
  dtype: "f32" | "i32" | "u8";
  /** Where in the list each is. */
  indices: number[];
  tensors: TfTensor[];
  /** The first element of each in the bucket. */
  offsets: number[];
  count: number;
}

/** The dtypes of tensors that can be added: the sum of two bools is none. */
export const SUM_DTYPES: readonly string[] = ["float32", "int32"];

/**
 * @throws TypeError if a tensor has a name that is no string, is disposed, or has another dtype than `known`: by default all but
 * complex64 and string.
 */
export function checkTensors(
  where: string,
  tensors: readonly Named[],
  known: readonly string[] = [...DTYPES.keys()],
): void {
  for (const [i, { name, tensor }] of tensors.entries()) {
    if (typeof name !== "string") throw new TypeError(`${where}: the name of item ${i} must be a string, got ${name}`);
    if (tensor.isDisposed) throw new TypeError(`${where}: ${name} is disposed`);
    if (!known.includes(tensor.dtype)) {
      throw new TypeError(`${where}: ${name} is ${tensor.dtype}; known are ${known.join(", ")}`);
    }
  }
}

/** @throws TypeError if `value` is neither a list nor an object whose fields are the tensors: those of a Map would not be seen. */
export function checkCollection(where: string, value: unknown): void {
  const isObject = typeof value === "object" && value !== null;
  if (Array.isArray(value) || (isObject && !(Symbol.iterator in value))) return;
  throw new TypeError(`${where} must be an object or a list, got ${isObject ? "another collection" : String(value)}`);
}

/**
 * The buckets of `tensors`: each has tensors of one dtype, in their order, and is closed once it has `bucketBytes`. Tensors
 * without elements are in none.
 */
export function planBuckets(tensors: readonly Named[], bucketBytes: number): BucketPlan[] {
  const plans: BucketPlan[] = [];
  const open = new Map<string, BucketPlan>();
  tensors.forEach(({ tensor }, index) => {
    const dtype = DTYPES.get(tensor.dtype);
    if (dtype === undefined || tensor.size === 0) return;
    let plan = open.get(dtype);
    if (!plan) {
      plan = { dtype, indices: [], tensors: [], offsets: [], count: 0 };
      open.set(dtype, plan);
      plans.push(plan);
    }
    plan.indices.push(index);
    plan.tensors.push(tensor);
    plan.offsets.push(plan.count);
    plan.count += tensor.size;
    if (plan.count * (dtype === "u8" ? 1 : 4) >= bucketBytes) open.delete(dtype);
  });
  return plans;
}

/** A bucket's elements, and the tensors that are made of them. */
export interface Bucket {
  plan: BucketPlan;
  tensor: Tensor;
  /** New tensors with the bucket's values, and the shapes of the tensors that were packed. */
  unpack(): TfTensor[];
  dispose(): void;
}

/**
 * All buckets, in one memory, as a coalesced call takes them: on the device if each can be there, else in host memory. This
 * rank alone decides that: the others may run elsewhere. If one cannot be packed, the others are freed.
 */
export async function packAll(group: ProcessGroup, plans: readonly BucketPlan[]): Promise<Bucket[]> {
  const buckets: Bucket[] = [];
  try {
    for (const plan of plans) buckets.push(await pack(group, plan));
    const isOnDevice = ({ tensor }: Bucket) => describe(tensor).memory !== "host";
    if (buckets.every(isOnDevice)) return buckets;
    for (const [i, bucket] of buckets.entries()) {
      if (!isOnDevice(bucket)) continue;
      buckets[i] = await pack(group, bucket.plan, "host");
      bucket.dispose();
    }
    return buckets;
  } catch (error) {
    for (const bucket of buckets) bucket.dispose();
    throw error;
  }
}

/**
 * A copy of the planned tensors: on tf.js's own device if the group has that, else in host memory.
 *
 * A copy in each case: on the cpu backend `data()` gives the tensor's own storage, and on the webgpu backend the commands
 * that write a tensor may not have been submitted, and storage is shared by tensors. `dataToGPU()` submits, and copies.
 */
async function pack(group: ProcessGroup, plan: BucketPlan, memory: "any" | "host" = "any"): Promise<Bucket> {
  const engine = engineInUse();
  if (engine.backendName === "cpu" || plan.dtype === "u8") return hostBucket(group, plan, plan.tensors);
  const joined = join(engine, plan.tensors);
  try {
    const onDevice =
      memory === "any" && engine.backendName === "webgpu" && group.device && engine.backend.device === group.device;
    return (onDevice && deviceBucket(engine, plan, joined)) || (await hostBucket(group, plan, [joined]));
  } finally {
    joined.dispose();
  }
}

/** The tensors one behind the other, as one with one dimension: one copy from a device in place of many. */
function join(engine: TfEngine, tensors: readonly TfTensor[]): TfTensor {
  return engine.tidy(() => {
    const flat = tensors.map((x) => engine.runKernel("Reshape", { x }, { shape: [x.size] }));
    return flat.length === 1 ? flat[0]! : engine.runKernel("Concat", flat, { axis: 0 });
  });
}

/** Null if tf.js has the elements in host memory, where it leaves what no kernel has used, and computes small tensors. */
function deviceBucket(engine: TfEngine, plan: BucketPlan, joined: TfTensor): Bucket | null {
  let copy: ReturnType<TfTensor["dataToGPU"]>;
  try {
    copy = joined.dataToGPU();
  } catch {
    return null;
  }
  const { tensorRef, buffer } = copy;
  if (!buffer) {
    tensorRef.dispose();
    return null;
  }
  const unpack = () =>
    engine.tidy(() => {
      // tensorRef has the shape of the storage, which is not always that of `joined`.
      const flat = engine.runKernel("Reshape", { x: tensorRef }, { shape: [plan.count] });
      return plan.tensors.map(({ size, shape }, i) => {
        const x = engine.runKernel("Slice", { x: flat }, { begin: [plan.offsets[i]], size: [size] });
        return engine.runKernel("Reshape", { x }, { shape });
      });
    });
  const tensor: GpuTensor = { buffer, dtype: plan.dtype, count: plan.count };
  return { plan, tensor, unpack, dispose: () => tensorRef.dispose() };
}

/** `sources` are the planned tensors, or one tensor with all their elements. */
async function hostBucket(group: ProcessGroup, plan: BucketPlan, sources: readonly TfTensor[]): Promise<Bucket> {
  const values = (await Promise.all(sources.map((source) => source.data()))) as ArrayLike<number>[];
  const { data: flat, giveBack } = takeScratch(group, plan.dtype, plan.count);
  let at = 0;
  for (const source of values) {
    flat.set(source, at);
    at += source.length;
  }
  const unpack = () => {
    const engine = engineInUse();
    return engine.tidy(() =>
      plan.tensors.map(({ size, shape, dtype }, i) => {
        const start = plan.offsets[i]!;
        // A copy: the next bucket uses the memory, and WebGL takes no values from shared memory, which `alloc` may give.
        return engine.makeTensor(flat.slice(start, start + size), shape, dtype);
      }),
    );
  };
  return { plan, tensor: flat, unpack, dispose: giveBack };
}

/**
 * Puts the elements of `result` into `bucket`, if they are not there.
 * @throws TypeError if it lies in the memory of a device, and the bucket does not.
 */
export function replaceElements(group: ProcessGroup, bucket: Tensor, result: Tensor): void {
  const [to, from] = [describe(bucket), describe(result)];
  if (to.memory === "host" && from.memory === "host") {
    if (to.buffer !== from.buffer || to.byteOffset !== from.byteOffset) bytesOf(to).set(bytesOf(from));
    return;
  }
  const device = group.device;
  if (to.memory !== "gpu" || from.memory === "cuda" || !device) {
    throw new TypeError(`the hook's result lies in ${from.memory} memory, and the bucket in ${to.memory} memory`);
  }
  if (from.memory === "host") {
    device.queue.writeBuffer(to.buffer, to.byteOffset, bytesOf(from));
  } else if (from.buffer !== to.buffer) {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from.buffer, from.byteOffset, to.buffer, to.byteOffset, to.byteLength);
    device.queue.submit([encoder.finish()]);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Pick<HostArray, "buffer" | "byteOffset" | "byteLength">) {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
