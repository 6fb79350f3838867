/**
 * BackendSet: several backends in one group. The memory of a call's tensors tells which runs it. Once one is registered, the
 * ranks tell each other which that is before a collective begins (witness.ts).
 */

import type { WebcclError } from "../../errors.ts";
import { isMessage, type Request, tensorsOf } from "../../request.ts";
import { now } from "../../support/clock.ts";
import { InOrder } from "../../support/in-order.ts";
import { asError } from "../../support/thrown.ts";
import type { Collective } from "../../types.ts";
import {
  BACKEND_DEVICES,
  type Backend,
  type BackendDevice,
  type BackendsByDevice,
  type BackendTraffic,
  type Call,
  type SatOut,
} from "../backend.ts";
import { trafficOf } from "./traffic-of.ts";
import { Witness, type WitnessChannel } from "./witness.ts";

const DEVICE_OF: Readonly<Record<string, BackendDevice>> = { host: "cpu", gpu: "webgpu", cuda: "cuda" };
const DEVICES: readonly string[] = BACKEND_DEVICES;

/** A call by which all ranks agree on their backends, and which touches no tensor. */
interface Agreement {
  readonly request: Extract<Request, { collective: "registerBackend" | "setDefaultBackend" }>;
  value(): void;
  obstacle?: Error;
}

/** See the file's head. */
export class BackendSet implements Backend, BackendsByDevice {
  readonly #registered = new Map<BackendDevice, Backend>();
  /** The devices for which one is being registered. */
  readonly #coming = new Set<BackendDevice>();
  readonly #first: Backend;
  readonly #witness: Witness;
  readonly #starts = new InOrder();
  /** Collectives of which the other ranks' backend is not known yet. */
  readonly #agreeing = new Set<number>();
  #default: Backend;
  /** Who runs each call that has not ended, collectives and messages apart: they are numbered so. Those before the set are the first's. */
  readonly #running = [new Map<number, Backend>(), new Map<number, Backend>()] as const;

  constructor(first: Backend, witness: Witness) {
    this.#first = first;
    this.#default = first;
    this.#witness = witness;
  }

  /** `backend` itself, if it is a set, else a set with it as the default. */
  static of(backend: Backend, openChannel: () => WitnessChannel): BackendSet {
    return backend instanceof BackendSet ? backend : new BackendSet(backend, new Witness(openChannel()));
  }

  get name(): string {
    return this.#default.name;
  }

  /**
   * Registers for `device` what `make` makes. It is made before the ranks agree on it, so that none has one where another's could not
   * be made. `agree` makes the call that it is given.
   * @throws TypeError if `backend`, from which it is made, is no function; RangeError if `device` is none, or has one already.
   */
  async register(
    device: BackendDevice,
    backend: unknown,
    make: () => Backend,
    agree: (prepare: () => Agreement) => PromiseLike<void>,
  ): Promise<void> {
    const attempt: { made?: Backend; hasBegun?: true } = {};
    try {
      await agree(() => {
        this.#requireFree(device, backend);
        this.#coming.add(device);
        attempt.hasBegun = true;
        const call: Agreement = { request: { collective: "registerBackend", device }, value: () => undefined };
        try {
          attempt.made = make();
          return call;
        } catch (error) {
          return { ...call, obstacle: asError(error) };
        }
      });
      this.#registered.set(device, attempt.made!);
    } catch (error) {
      await attempt.made?.dispose();
      throw error;
    } finally {
      if (attempt.hasBegun) this.#coming.delete(device);
    }
  }

  #requireFree(device: BackendDevice, backend: unknown): void {
    if (!DEVICES.includes(device))
      throw new RangeError(`device is ${JSON.stringify(device)}: use ${DEVICES.join(", ")}`);
    if (typeof backend !== "function") throw new TypeError("registerBackend: backend must be a function of a context");
    if (this.#registered.has(device) || this.#coming.has(device)) {
      throw new RangeError(`a backend is registered for ${device} already`);
    }
  }

  of(device: BackendDevice): Backend {
    return this.#registered.get(device) ?? this.#default;
  }

  /** The call that makes the backend of `device` the default one. @throws RangeError if it has none. */
  settingDefault(device: BackendDevice): Agreement {
    if (!this.#registered.has(device)) {
      throw new RangeError(`no backend is registered for ${device}: call registerBackend first`);
    }
    return { request: { collective: "setDefaultBackend", device }, value: () => undefined };
  }

  setDefault(device: BackendDevice): void {
    this.#default = this.of(device);
  }

  run(request: Request, call: Call): Promise<number | undefined> | undefined {
    const backend = this.#backendOf(request);
    if (!this.#isWitnessed(request)) return this.#run(backend, request, call);
    call.began = Number.NaN;
    const { sequence } = call;
    this.#agreeing.add(sequence);
    const agreed = this.#witness.agree(request, call, this.#deviceOf(backend));
    const over = () => this.#agreeing.delete(sequence);
    agreed.then(over, over);
    return this.#starts.run(agreed, async () => {
      call.began = now();
      try {
        return this.#run(backend, request, call);
      } catch (error) {
        // It cannot be refused any more: the others begin it.
        void backend.sitOut(sequence, request.collective, asError(error), request);
        throw error;
      }
    });
  }

  /** A call that registers the first one besides the default is on that one. */
  #isWitnessed(request: Request): boolean {
    if (isMessage(request)) return false;
    const own = request.collective === "registerBackend" ? 1 : 0;
    return this.#registered.size + this.#coming.size > own;
  }

  /** The device for which `backend` is registered; null for none. */
  #deviceOf(backend: Backend): BackendDevice | null {
    return BACKEND_DEVICES.find((device) => this.#registered.get(device) === backend) ?? null;
  }

  #run(backend: Backend, request: Request, call: Call): Promise<number | undefined> | undefined {
    const running = backend.run(request, call);
    if (!running) return undefined;
    const calls = this.#running[isMessage(request) ? 1 : 0];
    calls.set(call.sequence, backend);
    const ended = () => calls.delete(call.sequence);
    running.then(ended, ended);
    return running;
  }

  numbers(request: Request): number {
    return this.#backendOf(request).numbers?.(request) ?? 1;
  }

  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut {
    if (this.#isWitnessed(request)) return this.#witness.channel.sitOut(sequence, collective, reason);
    return this.#backendOf(request).sitOut(sequence, collective, reason, request);
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#whereIs(sequence).stragglers(sequence);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#whereIs(sequence).waitingFor?.(sequence) ?? [];
  }

  get traffic(): BackendTraffic | undefined {
    return trafficOf([...this.#all]);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return (this.#running[1].get(sequence) ?? this.#first).withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#witness.channel.abort(cause);
    for (const backend of this.#all) backend.abort(cause);
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#all].map((backend) => backend.dispose()));
    this.#witness.close();
  }

  /** Where collective `sequence` waits for other ranks. */
  #whereIs(sequence: number): Pick<Backend, "stragglers" | "waitingFor"> {
    if (this.#agreeing.has(sequence)) return this.#witness.channel;
    return this.#running[0].get(sequence) ?? this.#first;
  }

  get #all(): Set<Backend> {
    return new Set([this.#first, ...this.#registered.values()]);
  }

  #backendOf(request: Request): Backend {
    const [first] = tensorsOf(request);
    return first ? this.of(DEVICE_OF[first.memory]!) : this.#default;
  }
}
