/**
 * ProcessGroup: the collective interface. Every call passes the call runner; here are the public signatures, what each
 * argument must be, and what each rank holds afterwards.
 *
 * `N` is the group's size. Tensors are flat; "in place" means that the result replaces the input. Ranks, roots and peers
 * are ranks of this group. Every collective is to be called by all ranks in the same order with the same arguments, or
 * rejects with MismatchError on all of them; calls may overlap in time. Any call rejects with TypeError or RangeError
 * for an argument that is wrong on this rank alone (then it has not happened, and the next collective says so), with MismatchError (the group goes on), or
 * with PeerLostError, HubLostError, IntegrityError, DeviceLostError, TimeoutError or AbortedError (the group is dead; every
 * later call rejects so too).
 *
 * It has more than 400 lines, because it is the list of all calls with their contracts.
 */

import {
  BACKEND_DEVICES,
  type Backend,
  type BackendContext,
  type BackendDevice,
  type OwnBackend,
} from "../backend/backend.ts";
import type { BackendSet } from "../backend/composed/backend-set.ts";
import { AbortedError, WebcclError } from "../errors.ts";
import {
  ALL_TO_ALL_SINGLE_OPTIONS,
  type AllToAllSingleOptions,
  COLLECTIVE_OPTIONS,
  type CollectiveOptions,
  type MembershipOptions,
  MONITORED_BARRIER_OPTIONS,
  type MonitoredBarrierOptions,
  POINT_TO_POINT_OPTIONS,
  type PointToPointOptions,
  REDUCE_OPTIONS,
  type ReduceOptions,
  ROOT_OPTIONS,
  ROOTED_REDUCE_OPTIONS,
  type RootedReduceOptions,
  type RootOptions,
} from "../options.ts";
import type { Store } from "../store/store.ts";
import { asyncDispose } from "../support/async-dispose.ts";
import { textOf } from "../support/thrown.ts";
import type { TensorView } from "../tensor/view.ts";
import type { DataType, GpuDeviceLike, HostTensorOf, Tensor } from "../types.ts";
import * as prepare from "./arguments.ts";
import { CallRunner } from "./call-runner.ts";
import { checkAllocation, checkHook } from "./checks.ts";
import {
  type ChildPlan,
  type ChildSettings,
  NEW_GROUP_OPTIONS,
  type NewGroupOptions,
  settingsOfChild,
} from "./child/child-group.ts";
import type { Successor } from "./child/successor.ts";
import type { GroupInfo } from "./info.ts";
import type { BackendSettings, Job, MakeBackend, MembershipEvent } from "./job.ts";
import * as prepareLists from "./list-arguments.ts";
import * as prepareObjects from "./object-arguments.ts";
import type { CallNumbers } from "./pairing/call-numbers.ts";
import { type PersistentCallsOf, persistentCallsOf } from "./persistent-call.ts";
import type { DumpOptions, TraceDump } from "./trace/dump.ts";
import type { GroupRecord } from "./trace/recorder.ts";
import type { GroupStats } from "./trace/stats.ts";
import type { Work, WorkInfo } from "./work.ts";

/** The parts and settings of a group; users get theirs from `initProcessGroup`, `newGroup` and `split`. */
export interface ProcessGroupOptions {
  job: Job;
  name: string;
  description: string;
  /** Ranks of the job, in this group's order. */
  globalRanks: readonly number[];
  rank: number;
  timeoutMs: number;
  epoch: number;
  backend?: BackendSettings;
  /** What {@link Job.loadBackend} gave for it. */
  loaded: MakeBackend | null;
  boundDevice?: GpuDeviceLike | null;
}

/** What {@link ProcessGroup.persistent} is. */
export type PersistentCalls = PersistentCallsOf<ProcessGroup>;

/** A group of ranks that call collectives together. */
export class ProcessGroup {
  /** This rank in the group, from 0 on. */
  readonly rank: number;
  /** How many ranks the group has. */
  readonly size: number;
  /** The group's name, which errors tell. */
  readonly name: string;
  /** What the group is for, as whoever made it said; "" by default. */
  readonly description: string;
  /** The job's rank of each rank of this group. */
  readonly globalRanks: readonly number[];
  /** Milliseconds for each call that names none. */
  readonly timeoutMs: number;
  /** How many groups of all ranks the job had before: 0 at its start, one more with each `shrink` and `admit`. */
  readonly epoch: number;

  readonly #job: Job;
  readonly #calls: CallRunner;
  readonly #record: GroupRecord;
  readonly #backend: BackendSettings;
  #store: Store | null = null;
  #boundDevice: GpuDeviceLike | null;
  #persistent: PersistentCalls | null = null;
  #destroyed: Promise<void> | null = null;
  #successor: Successor<ProcessGroup> | null = null;
  /** The call for which a child was last named, and how many were. */
  #named = { call: 0, count: 0 };

  /** @internal */
  constructor({ job, name, description, globalRanks, rank, timeoutMs, ...own }: ProcessGroupOptions) {
    this.#job = job;
    this.#backend = own.backend ?? {};
    this.#boundDevice = own.boundDevice ?? null;
    this.name = name;
    this.description = description;
    this.globalRanks = globalRanks;
    this.rank = rank;
    this.size = globalRanks.length;
    this.timeoutMs = timeoutMs;
    this.epoch = own.epoch;
    job.groupNames.add(name);
    this.#record = job.recorder.open(this);
    try {
      this.#calls = new CallRunner({
        ...{ job, record: this.#record, groupName: name, rank, timeoutMs },
        makeBackend: (onDead) => job.createBackend(this, this.#backend, own.loaded, onDead),
        agreeOnCause: (cause) => job.agreeOnCause(this, cause),
      });
    } catch (error) {
      this.#record.close();
      throw error;
    }
    this.#record.backend = () => this.#calls.backend;
    job.onGroupCreated(this);
  }

  /** "direct", or the name of a backend of your own. */
  get backendName(): string {
    return this.#calls.backend.name;
  }

  /** The GPUDevice whose buffers calls take: the one given to `initProcessGroup`, else webccl's own, or null. */
  get device(): GpuDeviceLike | null {
    return this.#job.device;
  }

  /**
   * The GPUDevice that the group was given: by `initProcessGroup`, by `newGroup`, or here.
   * @throws TypeError if it is set to one that is not `device`: groups open none.
   */
  get boundDevice(): GpuDeviceLike | null {
    return this.#boundDevice;
  }

  /** @throws TypeError for another device than `group.device`. */
  set boundDevice(device: GpuDeviceLike | null) {
    if (device !== null && device !== this.device) throw new TypeError("boundDevice must be group.device or null");
    this.#boundDevice = device;
  }

  /** The group's own keys in the store at which the job met, under a prefix of its own. */
  get store(): Store {
    this.#store ??= this.#job.storeOf(this);
    return this.#store;
  }

  /** How many collectives have been called. */
  get sequence(): number {
    return this.#calls.sequence;
  }

  /** What runs here and why: executor, links, algorithm overrides. */
  info(): GroupInfo {
    return this.#job.describe(this, this.#calls.backend.name);
  }

  /**
   * A host tensor of `count` elements, all zero, that this rank's executor reduces without copying it first: a typed array of the
   * dtype's own class. A dtype without a class (bf16, and f16 where the runtime has no Float16Array) gives `{ data, dtype }`
   * with the elements' bits.
   * @throws TypeError if there is no such dtype, or if count is no whole number from 0 on.
   */
  alloc<D extends DataType>(dtype: D, count: number): HostTensorOf[D] {
    checkAllocation(dtype, count);
    return this.#job.alloc(dtype, count);
  }

  /**
   * Collectives that are made once and started many times: `group.persistent.allReduce(tensor, { op })` checks, plans and compares the
   * ranks' calls, and `start()` of what it returns runs it (MPI-4's persistent collectives). Each takes the arguments of the
   * method of the same name, whose options hold for the making and for every start.
   */
  get persistent(): PersistentCalls {
    this.#persistent ??= persistentCallsOf(this, (body) => this.#calls.persist(body));
    return this.#persistent;
  }

  /** Root's tensor to all ranks: afterwards every rank's `tensor`, of the same count and dtype, holds root's. */
  broadcast(tensor: Tensor, options: RootOptions = {}): Work<void> {
    return this.#calls.run("broadcast", ROOT_OPTIONS, options, () => prepare.broadcast(this, tensor, options));
  }

  /** In place: afterwards every rank's `tensor` holds x0 op x1 op … x(N−1), with the same bits everywhere. */
  allReduce(tensor: Tensor, options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("allReduce", REDUCE_OPTIONS, options, () => prepare.allReduce(tensor, options));
  }

  /** Like {@link allReduce}, in place on root alone; the other ranks' tensors stay as they are. */
  reduce(tensor: Tensor, options: RootedReduceOptions = {}): Work<void> {
    return this.#calls.run("reduce", ROOTED_REDUCE_OPTIONS, options, () => prepare.reduce(this, tensor, options));
  }

  /** Every rank's input to all: `outputs[r]`, as long as rank r's input, holds it. `input` may be `outputs[rank]` itself. Lengths may differ (allgatherv). */
  allGather(outputs: readonly Tensor[], input: Tensor, options: CollectiveOptions = {}): Work<void> {
    return this.#calls.run("allGather", COLLECTIVE_OPTIONS, options, () => prepare.allGather(this, outputs, input));
  }

  /** Like {@link allGather} into one tensor of N × input.count elements, rank after rank. `input` may be this rank's part of it. */
  allGatherIntoTensor(output: Tensor, input: Tensor, options: CollectiveOptions = {}): Work<void> {
    return this.#calls.run("allGatherIntoTensor", COLLECTIVE_OPTIONS, options, () =>
      prepare.allGatherIntoTensor(this, output, input),
    );
  }

  /** Every rank's input to root: there `outputs[r]` holds rank r's; elsewhere `outputs` is null. Lengths may differ (gatherv). */
  gather(outputs: readonly Tensor[] | null, input: Tensor, options: RootOptions = {}): Work<void> {
    return this.#calls.run("gather", ROOT_OPTIONS, options, () => prepare.gather(this, outputs, input, options));
  }

  /** Root's `inputs[r]` to rank r's `output`; elsewhere `inputs` is null. Lengths may differ (scatterv). */
  scatter(output: Tensor, inputs: readonly Tensor[] | null, options: RootOptions = {}): Work<void> {
    return this.#calls.run("scatter", ROOT_OPTIONS, options, () => prepare.scatter(this, output, inputs, options));
  }

  /** Rank r's `output` becomes the fold of all ranks' `inputs[r]`. `output` may be `inputs[rank]` itself; the others stay. Lengths may differ by r. */
  reduceScatter(output: Tensor, inputs: readonly Tensor[], options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("reduceScatter", REDUCE_OPTIONS, options, () =>
      prepare.reduceScatter(this, output, inputs, options),
    );
  }

  /** Like {@link reduceScatter} from one tensor of N × output.count elements. `output` may be this rank's part of it. */
  reduceScatterTensor(output: Tensor, input: Tensor, options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("reduceScatterTensor", REDUCE_OPTIONS, options, () =>
      prepare.reduceScatterTensor(this, output, input, options),
    );
  }

  /** `inputs[r]` goes to rank r; `outputs[r]` receives what rank r sent here. Lengths may differ, pair by pair (alltoallv). */
  allToAll(outputs: readonly Tensor[], inputs: readonly Tensor[], options: CollectiveOptions = {}): Work<void> {
    return this.#calls.run("allToAll", COLLECTIVE_OPTIONS, options, () => prepare.allToAll(this, outputs, inputs));
  }

  /** Like {@link allToAll} on one tensor each, cut into equal shares or by the split sizes (elements per rank). */
  allToAllSingle(output: Tensor, input: Tensor, options: AllToAllSingleOptions = {}): Work<void> {
    return this.#calls.run("allToAllSingle", ALL_TO_ALL_SINGLE_OPTIONS, options, () =>
      prepare.allToAllSingle(this, output, input, options),
    );
  }

  /** In place: rank r's tensor becomes x0 op … op xr (MPI_Scan). */
  scan(tensor: Tensor, options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("scan", REDUCE_OPTIONS, options, () => prepare.scan(tensor, options));
  }

  /** In place: rank r's tensor becomes x0 op … op x(r−1); rank 0's stays as it is (MPI_Exscan). */
  exscan(tensor: Tensor, options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("exscan", REDUCE_OPTIONS, options, () => prepare.exscan(tensor, options));
  }

  /** {@link allReduce} of each tensor, as one call. The tensors may have different dtypes and counts, and no memory in common. */
  allReduceCoalesced(tensors: readonly Tensor[], options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("allReduceCoalesced", REDUCE_OPTIONS, options, () =>
      prepareLists.allReduceCoalesced(tensors, options),
    );
  }

  /** {@link allReduceCoalesced}, beside {@link broadcastAll}. */
  allReduceAll(tensors: readonly Tensor[], options: ReduceOptions = {}): Work<void> {
    return this.#calls.run("allReduceAll", REDUCE_OPTIONS, options, () =>
      prepareLists.allReduceCoalesced(tensors, options),
    );
  }

  /**
   * {@link broadcast} of each tensor from one root, as one call in few large messages. The tensors may have different dtypes and counts,
   * lie in one memory on each rank, and have no memory in common. `broadcastCoalesced(group, tensors)` of `webccl/ddp` also bounds its buffers.
   */
  broadcastAll(tensors: readonly Tensor[], options: RootOptions = {}): Work<void> {
    return this.#calls.run("broadcastAll", ROOT_OPTIONS, options, () =>
      prepareLists.broadcastCoalesced(this, tensors, options),
    );
  }

  /** {@link allGatherIntoTensor} of each pair, as one call. */
  allGatherIntoTensorCoalesced(
    outputs: readonly Tensor[],
    inputs: readonly Tensor[],
    options: CollectiveOptions = {},
  ): Work<void> {
    return this.#calls.run("allGatherIntoTensorCoalesced", COLLECTIVE_OPTIONS, options, () =>
      prepareLists.allGatherIntoTensorCoalesced(this, outputs, inputs),
    );
  }

  /** {@link reduceScatterTensor} of each pair, as one call. */
  reduceScatterTensorCoalesced(
    outputs: readonly Tensor[],
    inputs: readonly Tensor[],
    options: ReduceOptions = {},
  ): Work<void> {
    return this.#calls.run("reduceScatterTensorCoalesced", REDUCE_OPTIONS, options, () =>
      prepareLists.reduceScatterTensorCoalesced(this, outputs, inputs, options),
    );
  }

  /**
   * All calls that `body` makes on this group, started together when it returns, as one Work (NCCL's group calls, c10d's
   * batch_isend_irecv). It settles when all have, and rejects with the first error. If an argument of any call is wrong, or
   * `body` throws or is async, none is started. Calls of allReduce with one `op`, of allGatherIntoTensor, and of
   * reduceScatterTensor with one `op` run as the coalesced forms. A `coalesce` within `body` is part of this one.
   */
  coalesce(body: () => void): Work<void> {
    return this.#calls.coalesce(body);
  }

  /** Sends `tensor` to `dst`. Resolves when it may be overwritten, which may be before it is received. */
  send(tensor: Tensor, dst: number, options: PointToPointOptions = {}): Work<void> {
    return this.#calls.run("send", POINT_TO_POINT_OPTIONS, options, () => prepare.send(this, tensor, dst, options));
  }

  /** Receives the next message of `src` with this tag; resolves to `src`. A dtype or count that differs from the sender's rejects on both sides. */
  recv(tensor: Tensor, src: number, options: PointToPointOptions = {}): Work<number> {
    return this.#calls.run("recv", POINT_TO_POINT_OPTIONS, options, () => prepare.recv(this, tensor, src, options));
  }

  /** Receives the next message with this tag from whichever rank; resolves to that rank. */
  recvAnySource(tensor: Tensor, options: PointToPointOptions = {}): Work<number> {
    return this.#calls.run("recvAnySource", POINT_TO_POINT_OPTIONS, options, () =>
      prepare.recvAnySource(tensor, options),
    );
  }

  /** Resolves on every rank once all have called it. */
  barrier(options: CollectiveOptions = {}): Work<void> {
    return this.#calls.run("barrier", COLLECTIVE_OPTIONS, options, () => prepare.barrier());
  }

  /**
   * A barrier that names who is missing: rejects with a TimeoutError whose `missingRanks` holds the first missing rank, or
   * with `waitAllRanks` all of them. The group is dead then.
   */
  monitoredBarrier(options: MonitoredBarrierOptions = {}): Work<void> {
    return this.#calls.run("monitoredBarrier", MONITORED_BARRIER_OPTIONS, options, () =>
      prepare.monitoredBarrier(options),
    );
  }

  /** Every rank's value, in rank order, on every rank. docs/objects.md lists the values that can be carried. */
  allGatherObject<T = unknown>(value: T, options: CollectiveOptions = {}): Work<T[]> {
    return this.#calls.run("allGatherObject", COLLECTIVE_OPTIONS, options, () =>
      prepareObjects.allGatherObject(this, value),
    );
  }

  /** Root's value on every rank. */
  broadcastObject<T = unknown>(value: T, options: RootOptions = {}): Work<T> {
    return this.#calls.run("broadcastObject", ROOT_OPTIONS, options, () =>
      prepareObjects.broadcastObject(this, value, options),
    );
  }

  /** Every rank's value, in rank order, on root; null elsewhere. */
  gatherObject<T = unknown>(value: T, options: RootOptions = {}): Work<T[] | null> {
    return this.#calls.run("gatherObject", ROOT_OPTIONS, options, () =>
      prepareObjects.gatherObject(this, value, options),
    );
  }

  /** Root's `values[r]` on rank r; elsewhere `values` is null. */
  scatterObject<T = unknown>(values: readonly T[] | null, options: RootOptions = {}): Work<T> {
    return this.#calls.run("scatterObject", ROOT_OPTIONS, options, () =>
      prepareObjects.scatterObject(this, values, options),
    );
  }

  /**
   * A group of some of this group's ranks, in the order given. Every rank of this group calls it with the same list and
   * name; those not in the list get null.
   */
  async newGroup(ranks: readonly number[], options: NewGroupOptions = {}): Promise<ProcessGroup | null> {
    const defaultName = this.#childName();
    return this.#child(options?.device, (reserve) =>
      this.#calls.run("newGroup", NEW_GROUP_OPTIONS, options, () => {
        const settings = settingsOfChild(this, this.#job, defaultName, options, this.#backend);
        return reserve(settings.name, prepare.newGroup(this, ranks, settings));
      }),
    );
  }

  /**
   * Groups of the ranks with equal `color`, ordered by `key`, then by rank (MPI_Comm_split). A null color gives null. All
   * ranks of a color give the same name, or none.
   */
  async split(color: number | null, key = 0, options: NewGroupOptions = {}): Promise<ProcessGroup | null> {
    const defaultName = `${this.#childName()}:${color}`;
    return this.#child(options?.device, async (reserve) => {
      let settings: ChildSettings | undefined;
      const choices = await this.#calls.run("split", NEW_GROUP_OPTIONS, options, () => {
        settings = settingsOfChild(this, this.#job, defaultName, options, this.#backend);
        return reserve(settings.name, prepareObjects.split(this, color, key, settings, options.name ?? null));
      });
      const { planOfSplit } = await import("./child/split-plan.ts");
      return planOfSplit(this, choices, settings!);
    });
  }

  /**
   * A new group of the ranks that live, in the same order, in place of this one, which is dead then, with its subgroups, hooks and
   * persistent calls. Called by all living ranks of the group that `initProcessGroup` gave, or of the one that followed it, be it
   * dead or not. A rank that does not call it within `timeoutMs` (default: the group's) is treated as lost. docs/membership.md
   * @throws AdmissionError if the others go on without this rank, or if it is on a side of a split network that may not go on.
   */
  shrink(options: MembershipOptions = {}): Promise<ProcessGroup> {
    return this.#follow("shrink", options);
  }

  /**
   * Lets the ranks in that wait in `initProcessGroup({ join: true })`: a new group as of {@link shrink}, in which they come last. If
   * nobody waits and nobody was lost, it resolves to this group, which goes on. Called by all living ranks, between calls.
   * @throws TimeoutError naming the ranks that did not call it within `timeoutMs`; the group is dead then. AdmissionError as `shrink`.
   */
  admit(options: MembershipOptions = {}): Promise<ProcessGroup> {
    return this.#follow("admit", options);
  }

  /**
   * Calls `hook` when a rank of this group is lost or leaves, and when one waits to be let in; until the group is dead or replaced.
   * @throws TypeError if `hook` is no function.
   */
  onMembership(hook: (event: MembershipEvent) => void): void {
    checkHook("onMembership", hook);
    void this.#job.membership().then((membership) => membership.watch(this, hook));
  }

  /** Calls `hook` after each Work of this group. What it throws rejects that Work. @throws TypeError if `hook` is no function. */
  onCompletion(hook: (info: WorkInfo) => void): void {
    checkHook("onCompletion", hook);
    this.#calls.onCompletion(hook);
  }

  /** Is anyone told of completions? */
  hasHooks(): boolean {
    return this.#calls.hasHooks;
  }

  /** Does nothing: times are always kept. It is here for programs that come from c10d. */
  enableCollectivesTiming(): void {}

  /**
   * Lets a backend of your own run the calls whose tensors lie in memory of `device`: "cpu" (host arrays), "webgpu" (GPUBuffers)
   * or "cuda". It is a call of the whole group: ranks that do not register the same device between the same calls get a
   * MismatchError. All ranks make each call with tensors of one kind.
   * @throws RangeError (as a rejection) if `device` is none, or has a backend already; TypeError if `backend` is no function, or what it
   * returns no backend; what `backend` throws. Where it fails on one rank, the others get a MismatchError, and none has the backend.
   */
  async registerBackend(device: BackendDevice, backend: (context: BackendContext) => OwnBackend): Promise<void> {
    const set = await this.#backends();
    const loaded = await this.#job.loadBackend({ backend });
    const onDead = (cause: WebcclError) => this.#calls.abort(cause);
    const make = () => this.#job.createBackend(this, { backend, registeredBy: this.sequence + 1 }, loaded, onDead);
    await set.register(device, backend, make, (prepare) =>
      this.#calls.run("registerBackend", COLLECTIVE_OPTIONS, {}, prepare),
    );
  }

  /** The backend that runs the calls in memory of `device`: the one registered for it, else the default one. @throws RangeError if `device` is none. */
  getBackend(device: BackendDevice): Backend {
    if (!(BACKEND_DEVICES as readonly string[]).includes(device)) {
      throw new RangeError(`device is ${JSON.stringify(device)}: use ${BACKEND_DEVICES.join(", ")}`);
    }
    const { backend } = this.#calls;
    const own: Backend & { readonly given?: Backend } = backend.of?.(device) ?? backend;
    return own.given ?? own;
  }

  /** The backend registered for `device` runs every call for whose memory there is none, and those without tensors. As {@link registerBackend}, a call of the whole group. */
  async setDefaultBackend(device: BackendDevice): Promise<void> {
    const set = await this.#backends();
    await this.#calls.run("setDefaultBackend", COLLECTIVE_OPTIONS, {}, () => set.settingDefault(device));
    set.setDefault(device);
  }

  /**
   * The flight recorder of this rank: the last 2,048 calls of all groups of the job, and which of them run. Nothing is sent, so it
   * answers while a call hangs. `webccl trace` and `webccl/trace` read it; docs/tracing.md has its fields.
   */
  async dumpTrace(options: DumpOptions = {}): Promise<TraceDump> {
    const { dumpOf } = await import("./trace/dump.ts");
    return dumpOf(this.#job.recorder, options);
  }

  /** Bytes, messages, bandwidth and times waited of this group since it was made, for each peer and each collective. Nothing is sent. */
  async stats(): Promise<GroupStats> {
    const { statsOf } = await import("./trace/stats.ts");
    return statsOf(this.#record);
  }

  /** @internal The numbers of its calls. */
  get numbers(): CallNumbers {
    return this.#calls.numbers;
  }

  /** @internal Claims memory for a composed call. @throws TypeError if a pending Work has it. @returns how to release it. */
  hold(owner: string, read: readonly TensorView[], written: readonly TensorView[]): () => void {
    return this.#job.claims.hold(owner, read, written);
  }

  /** Resolves when no Work is pending. */
  waitForPendingWorks(): Promise<void> {
    return this.#calls.waitForPendingWorks();
  }

  /** Kills the group on every rank: pending and later calls reject with AbortedError, or with the error given as reason. */
  abort(reason: string | WebcclError): void {
    const text = `group "${this.name}": rank ${this.rank} aborted it: ${textOf(reason)}`;
    this.#calls.abort(reason instanceof WebcclError ? reason : new AbortedError(text, { group: this.name }));
  }

  /**
   * Leaves the group. What is still pending rejects with AbortedError. For the group that `initProcessGroup` gave, the links
   * are closed too, and a rank that hosts the hub stays until the others have left. Later calls reject.
   */
  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  /** `await using`: {@link destroy}. */
  [asyncDispose](): Promise<void> {
    return this.destroy();
  }

  async #destroy(): Promise<void> {
    const cause = new AbortedError(`group "${this.name}" was destroyed by this rank`, { group: this.name });
    this.#record.close();
    if (this.#calls.pendingCount > 0) this.#calls.abort(cause);
    const wasDead = this.#calls.dead !== null;
    this.#calls.die(cause);
    await this.#calls.backend.dispose();
    await this.#job.onGroupDestroyed(this, wasDead);
  }

  /** The group that follows this one. Loaded when the membership is first to change. */
  async #follow(kind: "shrink" | "admit", options: MembershipOptions): Promise<ProcessGroup> {
    const { Successor } = await import("./child/successor.ts");
    this.#successor ??= new Successor<ProcessGroup>(this, {
      job: this.#job,
      dead: () => this.#calls.dead,
      isDestroyed: () => this.#destroyed !== null,
      make: async (next) => {
        const { name, description, timeoutMs } = this;
        const loaded = await this.#job.loadBackend(this.#backend);
        const own = { job: this.#job, backend: this.#backend, boundDevice: this.#boundDevice, loaded };
        return new ProcessGroup({ name, description, timeoutMs, ...own, ...next });
      },
    });
    return this.#successor.follow(kind, options);
  }

  async #backends(): Promise<BackendSet> {
    const { BackendSet } = await import("../backend/composed/backend-set.ts");
    const openChannel = () => this.#job.openChannel(this, "backends", (cause) => this.#calls.abort(cause));
    this.#calls.backend = BackendSet.of(this.#calls.backend, openChannel);
    return this.#calls.backend as BackendSet;
  }

  /** The name of a group that the next call makes, if the caller gives none; calls of one batch begin together. */
  #childName(): string {
    const call = this.sequence + 1;
    const { count } = this.#named;
    const repeats = this.#named.call === call ? count : 0;
    this.#named = { call, count: repeats + 1 };
    return `${this.name}/${call}${repeats > 0 ? `.${repeats}` : ""}`;
  }

  /** This rank's part of a group that all ranks of this one agree to make in `call`. Its name is taken from the call on. */
  async #child(
    device: GpuDeviceLike | undefined,
    call: (reserve: <T>(name: string, prepared: T) => T) => PromiseLike<ChildPlan | null>,
  ): Promise<ProcessGroup | null> {
    const { groupNames } = this.#job;
    let reserved: string | null = null;
    let plan: ChildPlan | null;
    try {
      plan = await call((name, prepared) => {
        groupNames.add(name);
        reserved = name;
        return prepared;
      });
    } catch (error) {
      if (reserved !== null) groupNames.delete(reserved);
      throw error;
    }
    if (!plan) return null;
    const { ranks, ...settings } = plan;
    const rank = ranks.indexOf(this.rank);
    if (rank < 0) return null;
    const globalRanks = ranks.flatMap((member) => this.globalRanks[member] ?? []);
    const boundDevice = device ?? this.#boundDevice;
    const loaded = await this.#job.loadBackend(plan.backend);
    const own = { job: this.#job, globalRanks, rank, boundDevice, epoch: this.epoch, ...settings };
    try {
      return new ProcessGroup({ ...own, loaded });
    } catch (error) {
      // The other ranks have the group by now, and are told why it is dead.
      const dead = new ProcessGroup({ ...own, backend: { backend: "cpu" }, loaded: null });
      dead.abort(`its backend could not be made: ${textOf(error)}`);
      await dead.destroy();
      throw error;
    }
  }
}
