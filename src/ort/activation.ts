/**
 * Activations between the stages of a pipeline: a tensor whose type and dims the receiver learns from the message.
 *
 * Two messages with one tag, the header before the data. The header is ten u32: the index of the type in ORT_TYPES, the
 * number of dims, and eight dims, of which those that are not there are 0.
 */
import { ProtocolError, TimeoutError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { POINT_TO_POINT_OPTIONS, type PointToPointOptions } from "../options.ts";
import { onAbort } from "../support/abort-listeners.ts";
import { startTimer } from "../support/clock.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import { describeArgument } from "../tensor/describe.ts";
import { isWhole } from "../tensor/field-checks.ts";
import { dtypeOfOrt, isOrt } from "../tensor/ort.ts";
import { bytesPerElement, type DataType, type OrtTensor } from "../types.ts";
import { createTensorBuffer, gpuTensor } from "./make-tensor.ts";
import { arrayFor, isGpuType, ORT_TYPES, type OrtOutput, type OrtTensorClass, type OrtType } from "./onnx-runtime.ts";

const MOST_DIMS = 8;
const HEADER_COUNT = 2 + MOST_DIMS;

/**
 * Sends `tensor`, an `ort.Tensor` in host memory or in a GPUBuffer, with its type and dims, to `dst`, which receives it by
 * {@link recvActivation}. Resolves when it may be overwritten or disposed of, which may be before it is received.
 * @throws TypeError or RangeError, before a byte is sent, for a tensor that cannot be sent: one that was disposed, of a type
 * without a dtype, or of more than 8 dims or 2^32 - 1 elements along one.
 */
export async function sendActivation(
  group: ProcessGroup,
  tensor: OrtTensor,
  dst: number,
  options: PointToPointOptions = {},
): Promise<void> {
  checkOptions("sendActivation", POINT_TO_POINT_OPTIONS, options);
  const header = headerOf(tensor);
  await group.coalesce(() => {
    group.send(header, dst, options);
    group.send(tensor, dst, options);
  });
}

/** Options of {@link recvActivation}. */
export interface RecvActivationOptions<T> extends PointToPointOptions {
  /** `ort.Tensor`, of which the result is made. */
  Tensor: OrtTensorClass<T>;
  /** Where the result is to lie: a GPUBuffer is on `group.device`. Default: "cpu". */
  location?: "cpu" | "gpu-buffer";
  /** Bytes of the longest activation that is taken. Default: 2^30. */
  mostBytes?: number;
}

const RECV_ACTIVATION_OPTIONS: OptionNames<RecvActivationOptions<unknown>> = {
  ...POINT_TO_POINT_OPTIONS,
  Tensor: true,
  location: true,
  mostBytes: true,
};

/**
 * Receives the next activation that `src` sent with this tag. Calls for one source and tag receive in the order in which they
 * were made. The result is the caller's: `dispose` gives the memory back. It lies in host memory where ONNX Runtime keeps no
 * tensor of its type in a GPUBuffer.
 * @throws TypeError for an unknown option, or for location "gpu-buffer" in a group without a GPU.
 * @throws ProtocolError, with which the group is dead, if `src` announced no tensor, or one of more than `mostBytes`.
 */
export async function recvActivation<T extends OrtOutput>(
  group: ProcessGroup,
  src: number,
  options: RecvActivationOptions<T>,
): Promise<T> {
  checkOptions("recvActivation", RECV_ACTIVATION_OPTIONS, options);
  const { Tensor, location = "cpu", mostBytes = 2 ** 30, ...message } = options;
  if (typeof Tensor !== "function") throw new TypeError("recvActivation: Tensor must be ort.Tensor");
  if (location !== "cpu" && location !== "gpu-buffer") {
    throw new TypeError(`recvActivation: location must be "cpu" or "gpu-buffer", got ${String(location)}`);
  }
  if (!isWhole(mostBytes)) {
    throw new RangeError(`recvActivation: mostBytes must be a whole number, got ${String(mostBytes)}`);
  }
  const { device } = group;
  if (location === "gpu-buffer" && !device) {
    throw new TypeError('recvActivation: location "gpu-buffer" needs a GPU: give initProcessGroup the device');
  }
  const limitMs = timeLimitOf(message.timeoutMs ?? group.timeoutMs, "recvActivation: timeoutMs");
  const { turn, leave } = queueUp(group, `${src}/${message.tag ?? 0}`);
  try {
    // Where the signal comes first, the recv below rejects by it, and receives nothing.
    if (turn && (await turnOf(turn, limitMs, message.signal)) === "late") throw lateError(group, src, limitMs);
    const header = new Uint32Array(HEADER_COUNT);
    await group.recv(header, src, message);
    const activation = readHeader(group, src, header, mostBytes);
    const { signal: _, ...data } = message; // It has been sent: only the header could be withdrawn.
    if (location === "gpu-buffer" && device && isGpuType(activation.type)) {
      return await recvOnGpu(group, device, src, { Tensor, ...activation }, data);
    }
    const array = arrayFor(activation.type, activation.count);
    await group.recv({ data: array, dtype: activation.dtype }, src, data);
    return new Tensor(activation.type, array, activation.dims);
  } finally {
    leave();
  }
}

/** What a header tells. */
interface Activation {
  type: OrtType;
  dtype: DataType;
  dims: number[];
  count: number;
  bytes: number;
}

async function recvOnGpu<T extends OrtOutput>(
  group: ProcessGroup,
  device: GPUDevice,
  src: number,
  { Tensor, type, dtype, dims, count, bytes }: Activation & { Tensor: OrtTensorClass<T> },
  options: PointToPointOptions,
): Promise<T> {
  const buffer = createTensorBuffer(device, bytes);
  try {
    await group.recv({ buffer, dtype, count }, src, options);
    return gpuTensor(Tensor, { device, buffer }, { type, dims, bytes });
  } catch (error) {
    buffer.destroy();
    throw error;
  }
}

/** By source and tag, the end of the last call that waits for an activation. */
const lastCalls = new WeakMap<ProcessGroup, Map<string, Promise<unknown>>>();

/** Takes a place behind the earlier calls, until `leave`: the header of an activation comes after the data of the one before. */
function queueUp(group: ProcessGroup, key: string): { turn: Promise<unknown> | undefined; leave(): void } {
  const ofGroup = lastCalls.get(group) ?? new Map<string, Promise<unknown>>();
  lastCalls.set(group, ofGroup);
  const turn = ofGroup.get(key);
  let leave = () => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const end = Promise.all([turn, left]).then(() => {
    if (ofGroup.get(key) === end) ofGroup.delete(key);
  });
  ofGroup.set(key, end);
  return { turn, leave };
}

/** Waits for `turn` until `signal` fires or the time is up, and tells whether it is. */
function turnOf(turn: Promise<unknown>, limitMs: number, signal: AbortSignal | undefined): Promise<"late" | undefined> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(undefined);
    const end = (how: "late" | undefined) => {
      timer.cancel();
      forget?.();
      resolve(how);
    };
    const timer = startTimer(limitMs, () => end("late"));
    const forget = signal && onAbort(signal, () => end(undefined));
    void turn.then(() => end(undefined));
  });
}

/** Ends the group, as a recv does whose time is up. */
function lateError(group: ProcessGroup, src: number, limitMs: number): TimeoutError {
  const error = new TimeoutError(
    `group "${group.name}": recvActivation on rank ${group.rank} did not end within ${limitMs} ms; missing: rank ${src}`,
    { group: group.name, collective: "recv", missingRanks: [src] },
  );
  group.abort(error);
  return error;
}

function headerOf(tensor: OrtTensor): Uint32Array {
  if (!isOrt(tensor)) throw new TypeError("tensor: an activation must be an ort.Tensor");
  describeArgument(tensor, "tensor");
  const { type, dims } = tensor;
  if (dims.length > MOST_DIMS || dims.some((length) => length >= 2 ** 32)) {
    throw new RangeError(`tensor: an activation has at most ${MOST_DIMS} dims below 2^32, and this one has [${dims}]`);
  }
  const header = new Uint32Array(HEADER_COUNT);
  header.set([ORT_TYPES.indexOf(type as OrtType), dims.length, ...dims]);
  return header;
}

function readHeader(group: ProcessGroup, src: number, header: Uint32Array, mostBytes: number): Activation {
  const [code = 0, rank = 0, ...lengths] = header;
  const type = ORT_TYPES[code];
  const dims = lengths.slice(0, rank);
  const count = dims.reduce((product, length) => product * length, 1);
  const dtype = type && dtypeOfOrt(type);
  const bytes = dtype ? count * bytesPerElement(dtype) : 0;
  const isPadded = lengths.slice(rank).every((length) => length === 0);
  if (type && dtype && rank <= MOST_DIMS && isPadded && bytes <= mostBytes) return { type, dtype, dims, count, bytes };
  const announced =
    type && rank <= MOST_DIMS ? `a ${type} tensor of [${dims}], ${bytes} bytes; ${mostBytes} are taken` : "no tensor";
  const error = new ProtocolError(
    `group "${group.name}": recvActivation on rank ${group.rank}: rank ${src} announced ${announced}. The group is dead`,
    { group: group.name, rank: group.rank, peer: src },
  );
  group.abort(error);
  throw error;
}
