/** RoundRobinBackend: several backends of one group, each of which runs the next collective. */
import type { WebcclError } from "../../errors.ts";
import { isMessage, type Request } from "../../request.ts";
import type { Collective } from "../../types.ts";
import type { Backend, BackendTraffic, Call, SatOut } from "../backend.ts";
import { backendOf } from "./checked-backend.ts";
import { trafficOf } from "./traffic-of.ts";

/** See the file's head. Messages go to the first backend: their numbers are each rank's own. */
export class RoundRobinBackend implements Backend {
  readonly name = "round-robin";
  /** What any of the backends lacks. */
  readonly lacks: readonly Collective[];
  readonly #backends: readonly Backend[];

  /** @throws TypeError if there is no backend, or if one lacks methods. */
  constructor(backends: readonly Backend[]) {
    if (!Array.isArray(backends) || backends.length === 0) throw new TypeError("Specify at least 1 backend");
    this.#backends = backends.map((backend) => backendOf(backend));
    this.lacks = this.#backends.flatMap(({ lacks = [] }) => lacks);
  }

  run(request: Request, call: Call): Promise<number | undefined> | undefined {
    return (isMessage(request) ? this.#first : this.#of(call.sequence)).run(request, call);
  }

  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut {
    return this.#of(sequence).sitOut(sequence, collective, reason, request);
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#of(sequence).stragglers(sequence);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#of(sequence).waitingFor?.(sequence) ?? [];
  }

  get traffic(): BackendTraffic | undefined {
    return trafficOf(this.#backends);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#first.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    for (const backend of this.#backends) backend.abort(cause);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#backends.map((backend) => backend.dispose()));
  }

  get #first(): Backend {
    return this.#backends[0]!;
  }

  #of(sequence: number): Backend {
    return this.#backends[(sequence - 1) % this.#backends.length]!;
  }
}
