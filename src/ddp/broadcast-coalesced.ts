/**
 * broadcastCoalesced: many tensors of one rank to all, in few large messages.
 *
 * The tensors are put into buckets by dtype and memory (bucket-assignment.ts), each bucket is copied into one flat buffer, that is
 * broadcast, and copied back on the other ranks. At most two buckets are under way: while one is sent, the next is filled.
 * Memory: two buckets beside the tensors. Bytes on the wire: those of the tensors, each tensor rounded up to 4 bytes.
 *
 * Source: broadcast_coalesced of torch/csrc/distributed/c10d/comm.cpp.
 */
import { MismatchError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn, type Turn, type TurnPart } from "../group/turns.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { describeArgument } from "../tensor/describe.ts";
import type { GpuView, TensorView } from "../tensor/view.ts";
import { bytesPerElement, type DataType, type Tensor } from "../types.ts";
import { hash52 } from "../wire/fingerprint.ts";
import { computeBucketAssignmentBySize } from "./bucket-assignment.ts";
import { bytesOf, createBuffer, deviceOf, hostTensor, readBuffer, roundUp, writeBuffer } from "./host-copy.ts";

/** Options of {@link broadcastCoalesced}. */
export interface BroadcastCoalescedOptions {
  /** Bytes at which a bucket is full. Default: 250 MiB. */
  bufferBytes?: number;
  /** The rank whose tensors all get. Default: 0. */
  root?: number;
}

const OPTIONS: OptionNames<BroadcastCoalescedOptions> = { bufferBytes: true, root: true };
const DEFAULT_BUFFER_BYTES = 250 * 2 ** 20;
const MOST_IN_FLIGHT = 2;

/** A tensor in a GPUBuffer, and the byte at which it begins in the flat buffer. */
interface GpuPart {
  readonly view: GpuView;
  readonly at: number;
}

/** A bucket's flat buffer. */
interface Flat {
  readonly tensor: Tensor;
  /** Copies the received bytes into the tensors. */
  copyBack(): Promise<void>;
  /** Lets the buffer go. */
  discard(): void;
}

/**
 * Root's tensors to all ranks: afterwards every rank's `tensors[i]` holds root's. All ranks pass as many tensors, of the same dtypes
 * and counts, in the same order, each of which may lie in any memory: the host's, a GPU's or a CUDA device's; those that share a memory on one rank
 * share one on every rank. Tensors without
 * elements are skipped. The tensors must not be used until the promise settles.
 * @throws TypeError for an unknown option or a tensor that is none, RangeError for a wrong root or size; the other ranks
 * get a MismatchError then. MismatchError on all ranks, before a tensor is changed, if they differ; else as `broadcast` does.
 */
export function broadcastCoalesced(
  group: ProcessGroup,
  tensors: readonly Tensor[],
  options: BroadcastCoalescedOptions = {},
): Promise<void> {
  const check = (turn: Turn) => prepare(group, turn, tensors, options);
  return inTurn(group, "broadcastCoalesced", check, async ({ part }, { buckets, root }) => {
    await agreeOnLayout(group, part, buckets);
    await sendAll(group, part, buckets, root);
  });
}

function prepare(
  group: ProcessGroup,
  turn: Turn,
  tensors: readonly Tensor[],
  options: BroadcastCoalescedOptions,
): { buckets: TensorView[][]; root: number } {
  checkOptions("broadcastCoalesced", OPTIONS, options);
  const { bufferBytes = DEFAULT_BUFFER_BYTES, root = 0 } = options;
  if (!Number.isSafeInteger(bufferBytes) || bufferBytes < 1) {
    throw new RangeError(`broadcastCoalesced: bufferBytes must be a whole number from 1 on, got ${bufferBytes}`);
  }
  if (!Number.isSafeInteger(root) || root < 0 || root >= group.size) {
    throw new RangeError(`broadcastCoalesced: root must be a rank of the group, 0 to ${group.size - 1}, got ${root}`);
  }
  if (!Array.isArray(tensors)) throw new TypeError("broadcastCoalesced: tensors must be a list");
  const views = tensors.map((tensor, i) => describeArgument(tensor, `tensors[${i}]`)).filter(({ count }) => count > 0);
  if (views.some(({ memory }) => memory === "gpu")) deviceOf(group);
  // Of tensors in CUDA memory the collectives themselves are told.
  const copied = views.filter(({ memory }) => memory !== "cuda");
  const isRoot = group.rank === root;
  turn.hold("broadcastCoalesced", isRoot ? copied : [], isRoot ? [] : copied);
  return { buckets: bucketsOf(views, bufferBytes), root };
}

/**
 * Ends when all ranks have made this call with tensors of the same dtypes and counts, and rejects on all of them if not. A broadcast does not do that: it may
 * end on one rank and reject on another, and then some ranks would have root's values and others not.
 */
async function agreeOnLayout(group: ProcessGroup, part: TurnPart, buckets: readonly TensorView[][]): Promise<void> {
  const texts = buckets.map((bucket) => bucket.map(({ dtype, count }) => `${count} ${dtype}`).join());
  const own = Float64Array.of(buckets.flat().length, hash52(texts.join(";")));
  const all = new Float64Array(2 * group.size);
  await group.allGatherIntoTensor(all, own, part);
  for (let rank = 1; rank < group.size; rank++) {
    if (all[2 * rank] === all[0] && all[2 * rank + 1] === all[1]) continue;
    const text = `group "${group.name}": the tensors of broadcastCoalesced differ in dtypes or counts: rank 0 gives ${all[0]} that have elements, and rank ${rank} gives ${all[2 * rank]}`;
    throw new MismatchError(text, { group: group.name, rank, field: "list of dtypes and counts" });
  }
}

async function sendAll(
  group: ProcessGroup,
  part: TurnPart,
  buckets: readonly TensorView[][],
  root: number,
): Promise<void> {
  const inFlight: Promise<void>[] = [];
  try {
    for (const bucket of buckets) {
      if (inFlight.length === MOST_IN_FLIGHT) await inFlight.shift();
      const sent = send(group, bucket, { ...part, root });
      sent.catch(() => {}); // A rejection that comes while an earlier bucket is awaited is thrown when its own turn comes.
      inFlight.push(sent);
    }
    for (const sent of inFlight) await sent;
  } finally {
    // The caller's tensors are its own again when the promise settles.
    await Promise.allSettled(inFlight);
  }
}

function bucketsOf(views: readonly TensorView[], bufferBytes: number): TensorView[][] {
  if (views.length === 0) return [];
  const [buckets] = computeBucketAssignmentBySize(
    views.map(({ tensor }) => tensor),
    [bufferBytes],
  );
  return buckets.map((indices) => indices.flatMap((index) => views[index] ?? []));
}

/** One bucket. In CUDA memory NCCL itself makes one launch of the calls; a DeviceBuffer cannot be copied into another. */
async function send(
  group: ProcessGroup,
  bucket: readonly TensorView[],
  options: TurnPart & { root: number },
): Promise<void> {
  const [first] = bucket;
  if (first?.memory === "cuda") {
    await group.coalesce(() => {
      for (const { tensor } of bucket) void group.broadcast(tensor, options);
    });
    return;
  }
  const flat =
    first?.memory === "gpu" ? flatOnGpu(group, bucket, first.dtype) : flatOnHost(bucket, first?.dtype ?? "u8");
  try {
    await group.broadcast(flat.tensor, options);
    if (group.rank !== options.root) await flat.copyBack();
  } finally {
    flat.discard();
  }
}

/** The byte at which each tensor begins in the flat buffer, and that buffer's bytes: alike in every memory. */
function layoutOf(bucket: readonly TensorView[]): { starts: number[]; bytes: number } {
  let bytes = 0;
  const starts = bucket.map(({ byteLength }) => {
    const start = bytes;
    bytes += roundUp(byteLength);
    return start;
  });
  return { starts, bytes };
}

function flatOnHost(bucket: readonly TensorView[], dtype: DataType): Flat {
  const { starts, bytes } = layoutOf(bucket);
  const flat = new Uint8Array(bytes);
  const parts = bucket.flatMap((view, i) =>
    view.memory === "host" ? [{ own: bytesOf(view), at: starts[i] ?? 0 }] : [],
  );
  for (const { own, at } of parts) flat.set(own, at);
  return {
    tensor: hostTensor(dtype, flat),
    copyBack: async () => {
      for (const { own, at } of parts) own.set(flat.subarray(at, at + own.byteLength));
    },
    discard: () => {},
  };
}

function flatOnGpu(group: ProcessGroup, bucket: readonly TensorView[], dtype: DataType): Flat {
  const device = deviceOf(group);
  const { starts, bytes } = layoutOf(bucket);
  const buffer = createBuffer(device, bytes);
  const parts = bucket.flatMap((view, i) => (view.memory === "gpu" ? [{ view, at: starts[i] ?? 0 }] : []));
  const encoder = device.createCommandEncoder();
  for (const { view, at } of parts) {
    encoder.copyBufferToBuffer(view.buffer, view.byteOffset, buffer, at, roundUp(view.byteLength));
  }
  device.queue.submit([encoder.finish()]);
  return {
    tensor: { buffer, dtype, count: bytes / bytesPerElement(dtype) },
    copyBack: () => copyBack(device, buffer, parts),
    discard: () => buffer.destroy(),
  };
}

/** Whole words by the device. Of a last word that is not whole, the bytes of its neighbour stay: that goes through the host. */
async function copyBack(device: GPUDevice, flat: GPUBuffer, parts: readonly GpuPart[]): Promise<void> {
  const encoder = device.createCommandEncoder();
  for (const { view, at } of parts) {
    const whole = view.byteLength - (view.byteLength % 4);
    if (whole > 0) encoder.copyBufferToBuffer(flat, at, view.buffer, view.byteOffset, whole);
  }
  device.queue.submit([encoder.finish()]);
  for (const { view, at } of parts) {
    const rest = view.byteLength % 4;
    if (rest === 0) continue;
    const start = view.byteLength - rest;
    const bytes = await readBuffer(device, flat, at + start, rest);
    await writeBuffer(device, view.buffer, view.byteOffset + start, bytes);
  }
}
