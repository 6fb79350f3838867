/**
 * What the nccl backend uses of the package `@webccl/nccl`, whose index.d.ts says more. Calls of a communicator only put
 * work on its thread, in order; `flush` resolves once the device has done all of it.
 */
import { type CudaTensor, type DataType, type DeviceBuffer, isFloat8 } from "../../types.ts";

/** NCCL's operations by their names here; PREMUL_SUM by this rank's factor. */
export type NcclOp = "sum" | "product" | "min" | "max" | "avg" | { readonly factor: number | bigint };

/** `ncclConfig_t`, as far as it may be set. Absent means NCCL's default. */
export interface NcclConfig {
  /** False, the default from NCCL 2.18 on: no call of NCCL's waits for a peer, so a missing one cannot hold anything up. */
  blocking?: boolean;
  cgaClusterSize?: number;
  minCtas?: number;
  maxCtas?: number;
  netName?: string;
  splitShare?: boolean;
}

/** How a communicator is made. */
export interface NcclInitOptions extends NcclConfig {
  device: number;
  isHighPriorityStream?: boolean;
  /** Gives the attempt up. */
  signal?: AbortSignal;
}

/** What there is, once both libraries are open. */
export interface NcclFacts {
  /** MAJOR * 10000 + MINOR * 100 + PATCH. */
  readonly version: number;
  /** Where libnccl was found. */
  readonly path: string;
  /** The newest CUDA that the driver knows, MAJOR * 1000 + MINOR * 10. */
  readonly driver: number;
  /** Where libcuda was found. */
  readonly driverPath: string;
  readonly devices: readonly {
    readonly name: string;
    readonly uuid: string;
    readonly totalMemory: number;
    /** Such as "9.0". */
    readonly computeCapability: string;
  }[];
}

/** A version as people write it, such as "2.27.7". */
export function ncclVersionText(version: number): string {
  return [Math.floor(version / 10_000), Math.floor((version % 10_000) / 100), version % 100].join(".");
}

/** One rank of a communicator. Tensors are on its device. */
export interface NcclCommunicator {
  allReduce(output: CudaTensor, input: CudaTensor, op: NcclOp): void;
  reduce(output: CudaTensor | null, input: CudaTensor, root: number, op: NcclOp): void;
  broadcast(output: CudaTensor, input: CudaTensor | null, root: number): void;
  allGather(output: CudaTensor, input: CudaTensor): void;
  reduceScatter(output: CudaTensor, input: CudaTensor, op: NcclOp): void;
  send(input: CudaTensor, peer: number): void;
  recv(output: CudaTensor, peer: number): void;
  /** Calls within `body` are launched together. */
  group(body: () => void): void;
  /** Between host and device, through pinned memory. `host` must stay as it is until the next flush is done. */
  copyIn(output: CudaTensor, host: Uint8Array): void;
  copyOut(host: Uint8Array, input: CudaTensor): void;
  copyWithin(output: CudaTensor, input: CudaTensor): void;
  /** @throws Error with NCCL's words, or with the reason of an abort. */
  flush(): Promise<void>;
  /** Ends everything that runs; pending and later flushes reject with `reason`. */
  abort(reason: string): void;
  /** Ends the communicator, after what runs. */
  dispose(): Promise<void>;
}

/** The package. */
export interface NcclLibrary {
  /** Opens both libraries. @throws Error that says which is missing, where it was looked for and what to install. */
  load(): Promise<NcclFacts>;
  getUniqueId(): Promise<Uint8Array>;
  initRank(size: number, id: Uint8Array, rank: number, options: NcclInitOptions): Promise<NcclCommunicator>;
  readonly DeviceBuffer: new (byteLength: number, options: { device: number; lazy: boolean }) => DeviceBuffer;
}

/** The parts of NCCL that depend on its version and on the devices: the same for all ranks of a job. */
export interface NcclAbilities {
  /** Has it operations with a factor? */
  readonly premulSum: boolean;
  /** Does it reduce f8e4m3 and f8e5m2, on every device? */
  readonly float8: boolean;
}

/** From these versions on, and for 8-bit floats on devices of this compute capability or more. */
const PREMUL_SUM_VERSION = 2_11_00;
const FLOAT8_VERSION = 2_24_00;
const FLOAT8_CAPABILITY = 9;

/** The abilities of NCCL on one rank. */
export function abilitiesOf({ version, devices }: Pick<NcclFacts, "version" | "devices">): NcclAbilities {
  const isNewEnough = devices.every(({ computeCapability }) => Number(computeCapability) >= FLOAT8_CAPABILITY);
  return { premulSum: version >= PREMUL_SUM_VERSION, float8: version >= FLOAT8_VERSION && isNewEnough };
}

/** Can NCCL reduce elements of this dtype? It moves every dtype, as bytes. */
export function isNcclType(dtype: DataType, { float8 }: NcclAbilities): boolean {
  return isFloat8(dtype) ? float8 : dtype !== "i16" && dtype !== "u16";
}
