/**
 * A group for the conformance suite whose tensors are in CUDA memory: every host array that the suite passes is put
 * into a DeviceBuffer before the call and read back after it, with guard bytes around it.
 */
import type * as Nccl from "../../native-nccl/index.js";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { describeHost } from "../../src/tensor/host.ts";
import type { CudaTensor, Tensor } from "../../src/types.ts";

const GUARD_BYTES = 32;

/** A host tensor and its twin on the device. Tensors over one ArrayBuffer share one DeviceBuffer, as parts of a whole do. */
class Twins {
  readonly #nccl: typeof Nccl;
  readonly #device: number;
  readonly #buffers = new Map<ArrayBufferLike, Nccl.DeviceBuffer>();
  readonly #tensors: { host: Uint8Array; tensor: CudaTensor }[] = [];

  constructor(nccl: typeof Nccl, device: number) {
    this.#nccl = nccl;
    this.#device = device;
  }

  of(tensor: Tensor): CudaTensor {
    const { buffer, byteOffset, byteLength, count, dtype } = describeHost(tensor);
    let cuda = this.#buffers.get(buffer);
    if (!cuda) {
      cuda = new this.#nccl.DeviceBuffer(buffer.byteLength + 2 * GUARD_BYTES, { device: this.#device });
      this.#buffers.set(buffer, cuda);
    }
    const twin = { cuda, dtype, byteOffset: byteOffset + GUARD_BYTES, count };
    this.#tensors.push({ host: new Uint8Array(buffer, byteOffset, byteLength), tensor: twin });
    return twin;
  }

  /** The whole memory behind each tensor goes there, so that bytes beside tensors that a call touches are seen. */
  async put(): Promise<void> {
    await Promise.all([...this.#buffers].map(([host, cuda]) => cuda.copyFrom(new Uint8Array(host), GUARD_BYTES)));
  }

  async takeBack(): Promise<void> {
    await Promise.all([...this.#buffers].map(([host, cuda]) => cuda.copyTo(new Uint8Array(host), GUARD_BYTES)));
    for (const cuda of this.#buffers.values()) cuda.dispose();
  }
}

const isTensor = (value: unknown): value is Tensor =>
  ArrayBuffer.isView(value) || (typeof value === "object" && value !== null && "data" in value && "dtype" in value);

/** Methods whose tensors are to be on the device. */
const METHODS = new Set([
  ...["broadcast", "allReduce", "reduce", "allGather", "allGatherIntoTensor", "gather", "scatter", "reduceScatter"],
  ...["reduceScatterTensor", "allToAll", "allToAllSingle", "scan", "exscan", "send", "recv", "recvAnySource"],
]);

/** The same group, over memory of this rank's device. Calls are made one after the other in the order they were asked for. */
export function onDevice(group: ProcessGroup, nccl: typeof Nccl, device = group.rank): ProcessGroup {
  let turn: Promise<unknown> = Promise.resolve();
  return new Proxy(group, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (!METHODS.has(String(name))) {
        return async (...args: unknown[]) => {
          await turn;
          const result = await value.apply(target, args);
          return name === "newGroup" || name === "split" ? result && onDevice(result, nccl, device) : result;
        };
      }
      return (...args: unknown[]) => {
        const twins = new Twins(nccl, device);
        const moved = args.map((arg) => {
          if (isTensor(arg)) return twins.of(arg);
          return Array.isArray(arg) ? arg.map((item) => (isTensor(item) ? twins.of(item) : item)) : arg;
        });
        const launched = turn.then(async () => {
          await twins.put();
          // The call itself is a promise: in a list it is not waited for.
          return [value.apply(target, moved) as PromiseLike<unknown>];
        });
        turn = launched.catch(() => undefined);
        return launched.then(async ([work]) => {
          const result = await work;
          await twins.takeBack();
          return result;
        });
      };
    },
  });
}
