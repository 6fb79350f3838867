/**
 * NVIDIA's NCCL and CUDA memory for Node and Deno.
 *
 * Importing this package opens nothing. The addon is loaded at first use, `libnccl.so.2` and the driver's `libcuda.so.1` at
 * the first use of each; an Error names a missing library, the paths where it was looked for and the package to install.
 * WEBCCL_LIBNCCL and WEBCCL_LIBCUDA name other files than the loader would find.
 *
 * No call waits on the thread of the event loop. Work for a device is put on a thread of the communicator's own, in
 * order, and a promise tells when it is done; only making a DeviceBuffer that is not lazy, a Stream or an Event takes its time
 * at once.
 */

/**
 * Element types. NCCL only moves i16 and u16. It moves f8e4m3 and f8e5m2 everywhere, and reduces them from 2.24 on and on devices
 * of compute capability 9.0 or more.
 */
export type DataType =
  | ("i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64")
  | ("f16" | "bf16" | "f32" | "f64" | "f8e4m3" | "f8e5m2");
/** An operation, one made by {@link Communicator.createPreMulSum}, or PREMUL_SUM with a factor for one call. */
export type Op = "sum" | "product" | "min" | "max" | "avg" | number | { readonly factor: number | bigint };

type HostArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/** Elements of a DeviceBuffer. */
export interface CudaTensor {
  cuda: { readonly byteLength: number; readonly device: number };
  dtype: DataType;
  /** A multiple of the element's size. Default: 0. */
  byteOffset?: number;
  /** Default: all up to the buffer's end. */
  count?: number;
}

/** One CUDA device. */
export interface DeviceProperties {
  readonly name: string;
  /** 32 hexadecimal digits. */
  readonly uuid: string;
  readonly pciBusId: string;
  readonly totalMemory: number;
  /** Such as "9.0". */
  readonly computeCapability: string;
  readonly multiprocessors: number;
}

export const UNIQUE_ID_BYTES: 128;

/** NCCL's version, MAJOR * 10000 + MINOR * 100 + PATCH, such as 22809. Opens libnccl. */
export function version(): number;
/** The same in its parts. */
export function versionTuple(): [major: number, minor: number, patch: number];
/** Always "": the suffix is a macro of nccl.h, and not in the library. */
export function versionSuffix(): "";
/** The path of the loaded libnccl. */
export function libraryPath(): string;
/** NCCL's words for a result code. */
export function errorString(code: number): string;
/** The libraries and the devices, once both libraries are open. */
export interface Facts {
  /** MAJOR * 10000 + MINOR * 100 + PATCH. */
  version: number;
  /** The path of the loaded libnccl. */
  path: string;
  /** The newest CUDA that the driver knows, MAJOR * 1000 + MINOR * 10. */
  driver: number;
  /** The path of the loaded libcuda. */
  driverPath: string;
  devices: DeviceProperties[];
}

/** Opens both libraries, on another thread, and once: the facts stay the same. */
export function load(): Promise<Facts>;
export function deviceCount(): Promise<number>;
export function devices(): Promise<DeviceProperties[]>;
/** 128 bytes, to be given to every rank's {@link initRank}. */
export function getUniqueId(): Promise<Uint8Array>;

/** Memory of a device. Freed by `dispose`, or with the object. */
export class DeviceBuffer {
  /**
   * `lazy` takes the memory at its first use, on a thread of the device's: then it is that use that fails where there is no room.
   * @throws Error if the device has no room, RangeError for a length that is none.
   */
  constructor(byteLength: number, options?: { device?: number; lazy?: boolean });
  readonly byteLength: number;
  readonly device: number;
  readonly disposed: boolean;
  /** The CUdeviceptr; 0 of a lazy one before its first use. */
  readonly pointer: bigint;
  /** Copies from host memory, through pinned memory; `host` must not change or be transferred meanwhile. */
  copyFrom(host: HostArray, byteOffset?: number): Promise<void>;
  /** Copies to host memory. */
  copyTo(host: HostArray, byteOffset?: number): Promise<void>;
  /** Gives the memory back once nothing uses it. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A point in a stream. */
export class Event {
  constructor(options?: { device?: number });
  /** Has the device come to it? */
  query(): boolean;
  /** Milliseconds from this event to `later`, both reached. */
  elapsedMs(later: Event): number;
}

/** A stream of the caller's own, for collectives; without one they run on the communicator's. */
export class Stream {
  constructor(options?: { device?: number; highPriority?: boolean });
  readonly device: number;
  /** Resolves when all that was put on it is done. */
  synchronize(): Promise<void>;
  record(event?: Event): Event;
  /** Work that is put on it afterwards waits for `event`. */
  wait(event: Event): void;
}

/** `ncclConfig_t`; absent means NCCL's default. */
export interface Config {
  /** False, the default from NCCL 2.18 on: no call of NCCL's waits for a peer. */
  blocking?: boolean;
  cgaClusterSize?: number;
  minCtas?: number;
  maxCtas?: number;
  netName?: string;
  splitShare?: boolean;
  isHighPriorityStream?: boolean;
}

/**
 * One rank of a communicator. Each call puts work on its thread, in order, and returns at once; {@link flush} resolves when
 * the device has done it. A failure ends the communicator: then every flush rejects. A call throws, and puts nothing on the
 * thread, if an argument is wrong: a TypeError for one that is no tensor of this communicator's device, no stream or no operation,
 * or that this NCCL or this device cannot reduce; a RangeError for elements that are not there.
 */
export class Communicator {
  private constructor();
  readonly rank: number;
  readonly size: number;
  readonly device: number;
  /** `output` may be `input`. */
  allReduce(output: CudaTensor, input: CudaTensor, op?: Op, stream?: Stream | null): void;
  /** `output` is looked at on root alone. */
  reduce(output: CudaTensor | null, input: CudaTensor, root: number, op?: Op, stream?: Stream | null): void;
  /** `input` is looked at on root alone; null means `output`. */
  broadcast(output: CudaTensor, input: CudaTensor | null, root: number, stream?: Stream | null): void;
  /** `output` has `size` times as many elements as `input`, which may be this rank's part of it. */
  allGather(output: CudaTensor, input: CudaTensor, stream?: Stream | null): void;
  /** `input` has `size` times as many elements as `output`, which may be this rank's part of it. */
  reduceScatter(output: CudaTensor, input: CudaTensor, op?: Op, stream?: Stream | null): void;
  send(input: CudaTensor, peer: number, stream?: Stream | null): void;
  recv(output: CudaTensor, peer: number, stream?: Stream | null): void;
  /** Calls between start and end are launched together; sends and receives need it where ranks do both. */
  groupStart(): void;
  groupEnd(): void;
  group(body: () => void): void;
  /** Copies through pinned memory, on streams of their own; the memory's order of use is kept. */
  copyIn(output: CudaTensor, host: HostArray): void;
  copyOut(host: HostArray, input: CudaTensor): void;
  /** From device memory to device memory, on the stream of collectives. */
  copyWithin(output: CudaTensor, input: CudaTensor): void;
  flush(): Promise<void>;
  /** Ends the running work, here: pending and later flushes reject with `reason`. The other ranks must be told by other means. */
  abort(reason?: string): void;
  /** The reason why the communicator ended, or an error that NCCL has found, or null. */
  getAsyncError(): Promise<string | null>;
  /** A communicator of the ranks with the same color, ordered by key; null for the color null. NCCL 2.18. */
  split(color: number | null, key?: number): Promise<Communicator | null>;
  /** PREMUL_SUM as an operation of this communicator and dtype, to which the factor is rounded. NCCL 2.11. */
  createPreMulSum(factor: number | bigint, dtype: DataType): Promise<number>;
  destroyRedOp(op: number): void;
  /** Ends it, after the running work; the other ranks need not do so at the same time. */
  dispose(): Promise<void>;
}

/**
 * This rank's communicator; resolves when all ranks have called it.
 * @throws RangeError "invalid unique_id (expected 128 bytes, got N bytes)", or for ranks that are none; Error in NCCL's words.
 */
export function initRank(
  size: number,
  id: Uint8Array,
  rank: number,
  options?: Config & { device?: number; signal?: AbortSignal },
): Promise<Communicator>;

/** Communicators of several devices of this process, by rank. */
export function initAll(devices: readonly number[]): Promise<Communicator[]>;

/** Options of the calls over lists. */
export interface ListOptions {
  /** One for each input; null, in the list or in its place, means the communicator's own. */
  streams?: readonly (Stream | null)[] | null;
  /**
   * One for each input, in the order of their ranks; one input needs no list. Default: ones made by {@link initAll} for the inputs'
   * devices, and kept until a call on them fails.
   */
  communicators?: readonly Communicator[] | Communicator | null;
}

/*
 * torch.cuda.nccl's calls: one tensor per device of this process. Inputs are alike in dtype and count, and each output is on
 * its input's device. Everything is checked before the first device launches, so that after a TypeError or a RangeError no
 * communicator is in use. If a device fails later, all communicators of the call end.
 */

/**
 * Each resolves when all devices are done. `outputs` are the inputs by default.
 * @throws TypeError "expected a sequence", "comm is not a sequence", "expected Tensor at i (got T)", or for an operation, a stream
 * or a dtype that is none; RangeError "number of streams is not equal to number of inputs" (or of communicators, or of outputs),
 * "inputs must be on unique devices", or for elements that are not there. This holds for all five.
 */
export function allReduce(
  inputs: readonly CudaTensor[],
  options?: ListOptions & { outputs?: readonly CudaTensor[]; op?: Op },
): Promise<void>;
/**
 * The result goes to `output`, on the device of `inputs[root]`, which it is by default. No other device's memory is written.
 * @throws RangeError "invalid root"; TypeError "expected Tensor (got T)" for `output`
 */
export function reduce(
  inputs: readonly CudaTensor[],
  options?: ListOptions & { output?: CudaTensor | null; root?: number; op?: Op },
): Promise<void>;
/** @throws RangeError "invalid root" */
export function broadcast(tensors: readonly CudaTensor[], options?: ListOptions & { root?: number }): Promise<void>;
export function allGather(
  inputs: readonly CudaTensor[],
  outputs: readonly CudaTensor[],
  options?: ListOptions,
): Promise<void>;
export function reduceScatter(
  inputs: readonly CudaTensor[],
  outputs: readonly CudaTensor[],
  options?: ListOptions & { op?: Op },
): Promise<void>;

/** How much is alive, for tests of leaks. */
export function alive(): { deviceMemories: number; deviceBytes: number; lanes: number; streams: number };
