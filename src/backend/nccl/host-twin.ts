/**
 * Host twins: calls on CUDA memory as the same calls on host memory, for what NCCL does not run. Each tensor is copied to the
 * host before the call, and back after it if the call wrote it.
 */
import type { WebcclError } from "../../errors.ts";
import { LANE_ARRAY } from "../../executor/cpu/host-span.ts";
import { type Request, tensorsOf } from "../../request.ts";
import { describeCudaTensor, isCudaTensor } from "../../tensor/cuda.ts";
import { bytesPerElement, type CudaTensor, type Tensor } from "../../types.ts";
import type { Backend, Call } from "../backend.ts";

/** A backend of host memory that takes CUDA memory, too. */
export class HostTwinBackend implements Backend {
  readonly name: string;
  readonly #host: Backend;
  /** The end of what calls do before they are launched, so that they are launched in order; null if none does anything. */
  #turn: Promise<void> | null = null;

  constructor(host: Backend) {
    this.name = host.name;
    this.#host = host;
  }

  run(request: Request, call: Call): Promise<number | undefined> {
    if (!tensorsOf(request).some(isCudaTensor)) return this.inTurn(null, async () => this.#host.run(request, call));
    const twin = new HostTwin(request);
    return this.inTurn(twin.fill(), async () => {
      const source = await this.#host.run(twin.request, call);
      await twin.bringBack();
      return source;
    });
  }

  /** Calls `launch` after `before`, and after the launch of every earlier call; at once if there is nothing to wait for. */
  inTurn<T>(before: Promise<void> | null, launch: () => Promise<T>): Promise<T> {
    if (!before && !this.#turn) return launch();
    const ready = Promise.all([this.#turn, before]);
    const turn = ready.then(
      () => undefined,
      () => undefined,
    );
    this.#turn = turn;
    const launched = ready.then(launch);
    void turn.then(() => {
      if (this.#turn === turn) this.#turn = null;
    });
    return launched;
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#host.stragglers(sequence);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#host.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#host.abort(cause);
  }

  dispose(): Promise<void> {
    return this.#host.dispose();
  }
}

/** A request on CUDA memory, as the same on host memory. */
class HostTwin {
  readonly request: Request;
  readonly #copies: { tensor: CudaTensor; host: Uint8Array<ArrayBuffer>; written: boolean }[] = [];

  constructor(request: Request) {
    const twin = (tensor: Tensor, written: boolean): Tensor => {
      if (!isCudaTensor(tensor)) return tensor;
      const { dtype, count } = describeCudaTensor(tensor);
      const bytes = new ArrayBuffer(count * bytesPerElement(dtype));
      const host = { data: new LANE_ARRAY[dtype](bytes, 0, count), dtype };
      this.#copies.push({ tensor, host: new Uint8Array(bytes), written });
      return host;
    };
    const fields = Object.entries(request).map(([field, value]): [string, unknown] => {
      const written =
        field === "output" || field === "outputs" || (field === "tensor" && request.collective !== "send");
      if (field === "tensor" || field === "input" || field === "output") return [field, twin(value, written)];
      if (field !== "inputs" && field !== "outputs") return [field, value];
      return [field, value && (value as Tensor[]).map((tensor) => twin(tensor, written))];
    });
    this.request = Object.fromEntries(fields) as Request;
  }

  async fill(): Promise<void> {
    await Promise.all(
      this.#copies.map(({ tensor, host }) => host.length > 0 && tensor.cuda.copyTo(host, tensor.byteOffset)),
    );
  }

  async bringBack(): Promise<void> {
    const written = this.#copies.filter(({ host, written }) => written && host.length > 0);
    await Promise.all(written.map(({ tensor, host }) => tensor.cuda.copyFrom(host, tensor.byteOffset)));
  }
}
