/**
 * The direct backend: webccl's own algorithms over a channel and an executor.
 */
import type { Context, Transfer } from "../../algorithm/context.ts";
import { AbortedError, DeviceLostError, UnsupportedError, WebcclError } from "../../errors.ts";
import type { Admission, Executor, Flow, Span } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { HubCall, HubGroup } from "../../messaging/hub-folds.ts";
import { isMessage, type Request, tensorsOf } from "../../request.ts";
import type { Tensor } from "../../types.ts";
import type { Backend, Call } from "../backend.ts";
import type { CallHost, Surroundings } from "./call-host.ts";
import { Messages } from "./messages.ts";
import { isOfHub, type Plan, type PlanScope, planCollective } from "./plan.ts";
import type { Region } from "./turns.ts";

/** What some ranks of a group, this one among them, have beyond messages and do one of its levels by. */
export interface ClusterReduction {
  /** This rank makes a call, in the order of the calls; null if the cluster has no part in it, on any of its ranks. */
  enter(plan: Plan): ClusterCall | null;
  dispose(): Promise<void>;
}

/** One call of a cluster. */
export interface ClusterCall {
  run(context: Context): Promise<void>;
  /** What the call rejects with after this error, with which the group cannot go on. */
  failed(exchange: ChannelExchange, error: unknown): Promise<unknown>;
  /** The call is done, well or not. */
  leave(): void;
}

/** What a direct backend is made with. */
export interface DirectOptions {
  channel: Channel;
  /** The memories that tensors may be in; the first serves calls without tensors. */
  executors: readonly Executor[];
  /** The slowest kind of link in the group. */
  link: PlanScope["link"];
  /** The folds at the hub, if all ranks of the group are connected to one. */
  hub: HubGroup | null;
  /** What this rank has with others of the group, which reach the rest through the hub. */
  cluster: ClusterReduction | null;
  sameArithmetic: boolean;
  segmentBytes: number;
  segmentsInFlight: number;
  /** What the ranks share; null unless all are threads of one job, or processes of one host that have areas. */
  region: Region | null;
  onTransfer?: ((transfer: Transfer) => void) | undefined;
  /** Called once when the backend is done with its channel. */
  onDispose(): void;
}

/** Runs collectives of one group. */
export class DirectBackend implements Backend {
  readonly name = "direct";
  readonly #options: DirectOptions;
  readonly #scope: Omit<PlanScope, "executor" | "inRegion">;
  readonly #scopes = new Map<Executor, PlanScope>();
  readonly #messages: Messages;
  readonly #host: CallHost;

  constructor(options: DirectOptions) {
    const { channel, link, hub, sameArithmetic, segmentBytes } = options;
    this.#options = options;
    this.#host = {
      channel,
      foldsOf: (plan, exchange) => this.#foldsOf(plan, exchange),
      surroundings: (executor, segments) => this.#surroundings(executor, segments),
      failed: (exchange, error) => this.#failed(exchange, error),
    };
    this.#messages = new Messages({ ...this.#host, flowOf: (span) => this.#flowOf([span], 1, 0) });
    const { rank, size } = channel;
    const kind = !hub ? "none" : hub.clusters.length < size ? "clusters" : "all";
    this.#scope = { link, hub: kind, sameArithmetic, segmentBytes, rank, size };
  }

  run(request: Request, call: Call): Promise<number | undefined> | undefined {
    const { region } = this.#options;
    const repeated = region?.plans.find(request, call);
    if (repeated) return region!.run(this.#host, region!.executor, repeated, undefined, call);
    const executor = this.#executorOf(tensorsOf(request));
    if (isMessage(request)) return this.#messages.run(request, executor, call);
    const plan = planCollective(request, call, this.#scopeOf(executor));
    const admitted = executor.admit(plan.spans, plan.op, this.#flowOf(plan.spans, this.#scope.size, plan.scratch));
    if (!region) return this.#collective(executor, plan, admitted, call);
    if (executor === region.executor) region.plans.keep(request, call, plan);
    return region.run(this.#host, executor, plan, admitted, call);
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#options.channel.stragglers(sequence);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#messages.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#options.channel.abort(cause);
  }

  async dispose(): Promise<void> {
    await this.#options.cluster?.dispose();
    this.#options.hub?.close();
    this.#options.onDispose();
  }

  #scopeOf(executor: Executor): PlanScope {
    let scope = this.#scopes.get(executor);
    if (!scope) {
      const { region } = this.#options;
      const inRegion = region?.executor === executor && region.kind;
      scope = { ...this.#scope, executor, inRegion };
      this.#scopes.set(executor, scope);
    }
    return scope;
  }

  /** The executor in whose memory all of a call's tensors are. */
  #executorOf(tensors: readonly Tensor[]): Executor {
    const { executors } = this.#options;
    const executor = tensors.length === 0 ? executors[0] : executors.find((candidate) => candidate.owns(tensors[0]!));
    if (!executor) {
      throw new UnsupportedError(
        `this rank has no executor for the tensor's memory, only ${executors.map(({ name }) => name).join(", ")}: ` +
          'for GPUBuffers pass their device, or backend: "webgpu", to initProcessGroup',
      );
    }
    if (!tensors.every((tensor) => executor.owns(tensor))) {
      throw new TypeError("the tensors of one call must be in one memory: all host arrays, or all GPUBuffers");
    }
    return executor;
  }

  async #collective(executor: Executor, plan: Plan, admitted: Admission, call: Call): Promise<undefined> {
    const { channel } = this.#options;
    const exchange = channel.open(call.sequence, plan.fingerprint);
    const cluster = this.#options.cluster?.enter(plan) ?? null;
    const folds = this.#foldsOf(plan, exchange);
    try {
      const segments = admitted && (await this.#admitted(admitted, exchange));
      const done = (cluster ?? plan).run({ ...this.#surroundings(executor, segments), exchange, hub: folds });
      await Promise.all([done, channel.agree(exchange)]);
      await executor.settled();
    } catch (error) {
      if (error instanceof Refusal) throw error.cause;
      call.overwritten =
        plan.writes === "at once" || (plan.writes !== "no" && (cluster !== null || exchange.hasWritten));
      throw cluster ? await cluster.failed(exchange, error) : this.#failed(exchange, error);
    } finally {
      cluster?.leave();
      folds?.close();
      channel.close(exchange);
    }
  }

  /**
   * Waits until the executor has admitted the call. If it does not, nothing was sent yet: the other ranks reject this call
   * as a mismatch, and the group goes on at the next one.
   */
  async #admitted(admitted: NonNullable<Admission>, exchange: ChannelExchange): Promise<number | undefined> {
    let segments: number | undefined;
    try {
      segments = await admitted;
    } catch (cause) {
      if (cause instanceof WebcclError && !(cause instanceof UnsupportedError)) throw cause;
      this.#options.channel.refuse(exchange, cause instanceof Error ? cause.message : String(cause));
      throw new Refusal("not admitted", { cause });
    }
    if (exchange.error) throw exchange.error;
    return segments;
  }

  /** What of a call is under way at once; undefined where it is short, and takes little memory. A span has `parts` chunks. */
  #flowOf(spans: readonly Span[], parts: number, scratch: number): Flow | undefined {
    const { segmentBytes, segmentsInFlight } = this.#options;
    let longest = 0;
    for (const { byteLength } of spans) longest = Math.max(longest, byteLength / parts);
    if (longest <= segmentBytes) return undefined;
    return { segmentBytes, segments: Math.min(segmentsInFlight, Math.ceil(longest / segmentBytes)), scratch };
  }

  /** This call's folds at the hub, if it is one that the hub runs. */
  #foldsOf(plan: Plan, exchange: ChannelExchange): HubCall | null {
    if (!isOfHub(plan)) return null;
    const { hub, segmentBytes, segmentsInFlight } = this.#options;
    return hub!.call(exchange, plan.fingerprint, segmentBytes * segmentsInFlight);
  }

  /** `segments`: how many may be in flight, if fewer than usual. */
  #surroundings(executor: Executor, segments = this.#options.segmentsInFlight): Surroundings {
    const { channel, region, segmentBytes, onTransfer } = this.#options;
    const { rank, size } = channel;
    const { shared, areas } = region?.context ?? NOTHING_SHARED;
    return { rank, size, executor, shared, areas, segmentBytes, segmentsInFlight: segments, onTransfer };
  }

  /** What the call rejects with. A fault of this rank alone, such as a custom operation that throws, kills the group. */
  #failed(exchange: ChannelExchange, error: unknown): unknown {
    if (exchange.error) return exchange.error;
    const { channel } = this.#options;
    if (error instanceof DeviceLostError) {
      channel.abort(error);
      return error;
    }
    const text = error instanceof Error ? error.message : String(error);
    const cause = new AbortedError(`group "${channel.name}": rank ${channel.rank} failed: ${text}`, {
      group: channel.name,
      cause: error,
    });
    channel.abort(cause);
    return cause;
  }
}

const NOTHING_SHARED = { shared: null, areas: null };

/** A caller's mistake that showed after the call had begun; `cause` is what the caller gets. */
class Refusal extends Error {}
