/**
 * The direct backend: webccl's own algorithms over a channel and an executor.
 */

import type { Context } from "../../algorithm/context.ts";
import type { Rows } from "../../algorithm/rows.ts";
import { UnsupportedError, WebcclError } from "../../errors.ts";
import type { Admission, Executor, Flow } from "../../executor/executor.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { Region } from "../../region/region.ts";
import { isMessage, type Request, tensorsOf } from "../../request.ts";
import { textOf } from "../../support/thrown.ts";
import type { TensorView } from "../../tensor/view.ts";
import type { Collective } from "../../types.ts";
import {
  type Backend,
  type BackendTraffic,
  type Call,
  type PersistentRun,
  type SatOut,
  unsupported,
} from "../backend.ts";
import { isInF32, planInF32 } from "./accumulate.ts";
import { fingerprintOfCall } from "./call-facts.ts";
import { failureOf, faultOf, flowOf, foldsOf, type GroupScope, surroundings } from "./group-scope.ts";
import { agreementOn, planCollective } from "./plan.ts";
import { PlanCache } from "./plan-cache.ts";
import type { CollectiveRequest, Plan, PlanScope } from "./planning.ts";
import { Messages } from "./point-to-point.ts";
import type { RegionTurns } from "./region-turns.ts";
import { tableWith } from "./select.ts";

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

/** A group's region, and the algorithms that it brings. */
export interface GroupRegion {
  readonly region: Region;
  readonly rows: Rows;
  /** Are its ranks more than the cores that they run on? */
  readonly crowded: boolean;
  /** Runs the group's calls, which take turns in a region. */
  turns(scope: GroupScope): RegionTurns;
  close(): void;
}

/** The parts and settings of a direct backend. */
export interface DirectOptions extends Omit<GroupScope, "region"> {
  /** The memories that tensors may be in; the first serves calls without tensors. */
  executors: readonly Executor[];
  /** The slowest kind of link in the group. */
  link: PlanScope["link"];
  /** What this rank has with others of the group, which reach the rest through the hub. */
  cluster: ClusterReduction | null;
  sameArithmetic: boolean;
  /** What the ranks have beyond messages; null unless all have memory in common, or areas. */
  region: GroupRegion | null;
  /** Called once when the backend is done with its channel. */
  onDispose(): void;
}

/** Runs collectives of one group. */
export class DirectBackend implements Backend {
  readonly name = "direct";
  readonly #options: DirectOptions;
  readonly #scope: GroupScope;
  readonly #planScopes = new Map<Executor, PlanScope>();
  /** Plans of calls that may be made again. */
  readonly #plans = new PlanCache();
  readonly #messages: Messages;
  readonly #turns: RegionTurns | null;

  constructor(options: DirectOptions) {
    const { channel, hub, region, segmentBytes, segmentsInFlight, onTransfer } = options;
    this.#options = options;
    this.#scope = { channel, hub, region: region?.region ?? null, segmentBytes, segmentsInFlight, onTransfer };
    this.#messages = new Messages(this.#scope);
    this.#turns = region?.turns(this.#scope) ?? null;
  }

  run(request: Request, call: Call): Promise<number | undefined> | undefined {
    if (isMessage(request)) return this.#messages.run(request, this.#executorOf(tensorsOf(request)), call);
    const kept = this.#plans.find(request, call);
    if (kept) {
      const numbered = fingerprintOfCall(kept, call);
      if (numbered !== kept) this.#plans.keep(request, call, numbered);
      return this.#again(numbered, call);
    }
    const scope = this.#planScopeOf(this.#executorOf(tensorsOf(request)));
    if (isInF32(request)) return this.#runInF32(request, call, scope);
    const plan = planCollective(request, call, scope);
    this.#plans.keep(request, call, plan);
    return this.#runPlan(plan, this.#admit(plan), call);
  }

  persist(request: Request, call: Call): PersistentRun {
    if (isMessage(request)) throw unsupported(this.name, request.collective);
    const scope = this.#planScopeOf(this.#executorOf(tensorsOf(request)));
    const inF32 = isInF32(request);
    const plan = inF32 ? planInF32(request, call, scope) : planCollective(request, call, scope);
    const agreement = agreementOn(plan, call, scope);
    const made = this.#runPlan(agreement, this.#admit(agreement), call);
    let started = plan;
    // A start that overtakes the making may come before the executor has what the making asked it for.
    let isMade = made === undefined;
    void made?.then(
      () => {
        isMade = true;
      },
      () => {},
    );
    const start = (next: Call) => {
      started = fingerprintOfCall(started, next);
      return isMade ? this.#again(started, next) : this.#runPlan(started, this.#admit(started), next);
    };
    return { made, start: inF32 ? (next) => this.#runInF32(request, next, scope) : start };
  }

  sitOut(sequence: number, collective: Collective, reason: Error): SatOut {
    const { channel } = this.#options;
    if (channel.dead) return undefined;
    const verdict = channel.sitOut(sequence, collective, reason);
    void this.#turns?.sitOut();
    return verdict;
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#options.channel.stragglers(sequence);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#options.channel.waitingFor(sequence);
  }

  get traffic(): BackendTraffic {
    return this.#options.channel.traffic;
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#messages.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#options.channel.abort(cause);
  }

  async dispose(): Promise<void> {
    const { cluster, hub, region, onDispose } = this.#options;
    await cluster?.dispose();
    hub?.close();
    onDispose();
    region?.close();
  }

  #runInF32(request: CollectiveRequest, call: Call, scope: PlanScope): Promise<undefined> | undefined {
    if (this.#options.cluster)
      throw new UnsupportedError('accumulate: "f32" does not go with NCCL on a part of the ranks');
    const plan = planInF32(request, call, scope);
    return this.#runPlan(plan, this.#admit(plan), call);
  }

  /** What calls on this executor's memory have in common. The region's algorithms are for tensors in its memory alone. */
  #planScopeOf(executor: Executor): PlanScope {
    let scope = this.#planScopes.get(executor);
    if (!scope) {
      const { channel, link, hub, sameArithmetic, segmentBytes, region } = this.#options;
      const { rank, size } = channel;
      const inRegion = region?.region.executor === executor ? region : null;
      scope = {
        ...{ executor, rank, size, link, sameArithmetic, segmentBytes },
        hub: !hub ? "none" : hub.clusters.length < size ? "clusters" : "all",
        table: tableWith(inRegion?.rows),
        crowded: inRegion?.crowded ?? false,
      };
      this.#planScopes.set(executor, scope);
    }
    return scope;
  }

  /** The executor in whose memory all of a call's tensors are. */
  #executorOf(tensors: readonly TensorView[]): Executor {
    const { executors } = this.#options;
    const [first] = tensors;
    const executor = first ? executors.find(({ memoryKind }) => memoryKind === first.memory) : executors[0];
    if (!executor) {
      throw new UnsupportedError(
        `this rank has no executor for the tensor's memory, only ${executors.map(({ name }) => name).join(", ")}: ` +
          'for GPUBuffers pass their device, or backend: "webgpu", to initProcessGroup',
      );
    }
    if (!tensors.every(({ memory }) => memory === executor.memoryKind)) {
      throw new TypeError("the tensors of one call must be in one memory: all host arrays, or all GPUBuffers");
    }
    return executor;
  }

  /** Runs a plan once more. What was admitted in host memory stays so; a GPUBuffer may have been destroyed since. */
  #again(plan: Plan, call: Call): Promise<undefined> | undefined {
    return this.#runPlan(plan, plan.executor.memoryKind === "host" ? undefined : this.#admit(plan), call);
  }

  #admit(plan: Plan): Admission {
    return admit(plan, flowOf(this.#scope, plan, this.#options.channel.size));
  }

  #runPlan(plan: Plan, admitted: Admission, call: Call): Promise<undefined> | undefined {
    const numbered = fingerprintOfCall(plan, call);
    return this.#turns ? this.#turns.run(numbered, admitted, call) : this.#collective(numbered, admitted, call);
  }

  async #collective(plan: Plan, admitted: Admission, call: Call): Promise<undefined> {
    const { executor } = plan;
    const { channel } = this.#options;
    const exchange = channel.open(call.sequence, plan.fingerprint);
    const cluster = this.#options.cluster?.enter(plan) ?? null;
    const folds = foldsOf(this.#scope, plan, exchange);
    try {
      const segments = admitted && (await this.#admitted(admitted, exchange));
      const done = (cluster ?? plan).run({ ...surroundings(this.#scope, executor, segments), exchange, hub: folds });
      await Promise.all([done, channel.agree(exchange)]);
      await executor.settled();
    } catch (error) {
      if (error instanceof Refusal) throw error.cause;
      call.overwritten =
        plan.writes === "at once" || (plan.writes !== "no" && (cluster !== null || exchange.hasWritten));
      if (cluster) throw await cluster.failed(exchange, error);
      throw failureOf(this.#scope, exchange, await faultOf(executor, plan.spans, error));
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
      this.#options.channel.refuse(exchange, textOf(cause));
      throw new Refusal("not admitted", { cause });
    }
    if (exchange.error) throw exchange.error;
    return segments;
  }
}

/** Asks the executor for a plan's spans, one dtype at a time. */
function admit({ executor, spans, op }: Plan, flow: Flow | undefined): Admission {
  const dtypes = new Set(spans.map(({ dtype }) => dtype));
  if (dtypes.size <= 1) return executor.admit(spans, op, flow);
  const admissions = [...dtypes].map((wanted, index) => {
    return executor.admit(
      spans.filter(({ dtype }) => dtype === wanted),
      op,
      index === 0 ? flow : undefined,
    );
  });
  return admissions.some(Boolean) ? Promise.all(admissions).then(([segments]) => segments) : undefined;
}

/** A caller's mistake that showed after the call had begun; `cause` is what the caller gets. */
class Refusal extends Error {}
