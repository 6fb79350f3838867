/**
 * Host twins: calls on CUDA memory as the same calls on host memory, for what NCCL does not run. Each tensor is copied to the
 * host before the call, and back after it if the call wrote it.
 */
import type { WebcclError } from "../../errors.ts";
import { LANE_ARRAY } from "../../executor/cpu/host-span.ts";
import { type Request, tensorsOf } from "../../request.ts";
import { now } from "../../support/clock.ts";
import { InOrder } from "../../support/in-order.ts";
import { describeHost } from "../../tensor/host.ts";
import type { CudaView, TensorView } from "../../tensor/view.ts";
import type { Collective } from "../../types.ts";
import type { Backend, BackendTraffic, Call, SatOut } from "../backend.ts";

/** A backend of host memory that takes CUDA memory, too. */
export class HostTwinBackend implements Backend {
  readonly name: string;
  readonly #host: Backend;
  readonly #starts = new InOrder();

  constructor(host: Backend) {
    this.name = host.name;
    this.#host = host;
  }

  run(request: Request, call: Call): Promise<number | undefined> {
    if (!tensorsOf(request).some(({ memory }) => memory === "cuda")) {
      return this.inTurn(call, async () => this.#host.run(request, call));
    }
    const twin = new HostTwin(request);
    const run = async () => {
      const source = await this.#host.run(twin.request, call);
      await twin.bringBack();
      return source;
    };
    return this.inTurn(call, run, twin.fill());
  }

  /** Begins a call when `ready` has resolved, and after every earlier call has begun; at once if there is nothing to wait for. */
  inTurn<T>(call: Call, start: () => Promise<T>, ready?: Promise<undefined>): Promise<T> {
    call.began = Number.NaN;
    return this.#starts.run(ready, () => {
      call.began = now();
      return start();
    });
  }

  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut {
    return this.#starts.run(
      undefined,
      async () => (await this.#host.sitOut(sequence, collective, reason, request)) || undefined,
    );
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#host.stragglers(sequence);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#host.waitingFor?.(sequence) ?? [];
  }

  get traffic(): BackendTraffic | undefined {
    return this.#host.traffic;
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
  readonly #copies: { view: CudaView; host: Uint8Array<ArrayBuffer>; isWritten: boolean }[] = [];

  constructor(request: Request) {
    this.request = withTensors(request, (view, isWritten) => {
      if (view.memory !== "cuda") return view;
      const bytes = new ArrayBuffer(view.byteLength);
      this.#copies.push({ view, host: new Uint8Array(bytes), isWritten });
      const { dtype, count } = view;
      return describeHost({ data: new LANE_ARRAY[dtype](bytes, 0, count), dtype });
    });
  }

  async fill(): Promise<undefined> {
    await Promise.all(
      this.#copies.map(({ view, host }) => host.length > 0 && view.buffer.copyTo(host, view.byteOffset)),
    );
  }

  async bringBack(): Promise<void> {
    const written = this.#copies.filter(({ host, isWritten }) => isWritten && host.length > 0);
    await Promise.all(written.map(({ view, host }) => view.buffer.copyFrom(host, view.byteOffset)));
  }
}

/** The same request with other tensors: `change` gives what stands for each, and is told whether the call writes it. */
function withTensors(request: Request, change: (view: TensorView, isWritten: boolean) => TensorView): Request {
  const changed = { ...request };
  const read = (view: TensorView) => change(view, false);
  const written = (view: TensorView) => change(view, true);
  if ("tensor" in changed) changed.tensor = change(changed.tensor, changed.collective !== "send");
  if ("tensors" in changed) changed.tensors = changed.tensors.map(written);
  if ("input" in changed) changed.input = read(changed.input);
  if ("output" in changed) changed.output = written(changed.output);
  if ("inputs" in changed && changed.inputs) changed.inputs = changed.inputs.map(read);
  if ("outputs" in changed && changed.outputs) changed.outputs = changed.outputs.map(written);
  return changed;
}
