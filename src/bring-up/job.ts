/** Job: what all groups of one bring-up have in common on this rank. The first group spans it; destroying that one ends it. */
import { segmentBytesOf, segmentsInFlightOf } from "../algorithm/segments.ts";
import type { Backend, BackendContext } from "../backend/backend.ts";
import type { BackendChoice } from "../backend/choice.ts";
import { DirectBackend } from "../backend/direct/direct.ts";
import { DeviceLostError, UnsupportedError, type WebcclError } from "../errors.ts";
import { Claims } from "../group/claims.ts";
import type { GroupInfo } from "../group/info.ts";
import type { BackendSettings, Job, MakeBackend, MemberGroup, Membership, NextEpoch } from "../group/job.ts";
import { ProcessGroup } from "../group/process-group.ts";
import { Recorder } from "../group/trace/recorder.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { keepAlive } from "../support/clock.ts";
import { Deadlines } from "../support/deadlines.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { DataType, HostTensorOf } from "../types.ts";
import { hash52 } from "../wire/fingerprint.ts";
import type { JobParts } from "./epochs/parts.ts";
import type { Succession } from "./epochs/succession.ts";
import type { Executors } from "./executors.ts";
import type { Settings } from "./init-options.ts";
import { linkHasChecksums } from "./integrity.ts";
import { clustersOf, linkBetween, slowestLink } from "./linking.ts";
import type { JobNccl, NcclPart, NcclUse } from "./nccl/contract.ts";
import { haveSameArithmetic, type RosterEntry } from "./roster.ts";

/** What a group says that has lost the areas of its files. */
const MESSAGES_ALONE =
  "collectives run over messages: common memory and the areas of shared files are those of the first group alone";

/** What tells a group from the others of its job. */
type GroupFacts = Pick<Membership, "name" | "globalRanks"> & Partial<Pick<Membership, "epoch">>;

/** What a job is made of. */
export interface RankJobOptions {
  parts: JobParts;
  executors: Executors;
  nccl: JobNccl;
  /** Does a pending call keep the process running? */
  holds: boolean;
  /** Ends the meeting, and what the media keep open. A job that has died does not wait for its ranks. */
  onLeave(hasDied: boolean): Promise<void>;
}

/** One job on one rank. */
export class RankJob implements Job {
  readonly settings: Settings;
  readonly deadlines: Deadlines;
  readonly claims: Claims = new Claims();
  readonly recorder: Recorder;
  readonly groupNames: Set<string> = new Set();
  /** Ends the traces that it leaves, if it does. */
  tracesEnd: (() => Promise<void>) | undefined;
  readonly #options: RankJobOptions;
  readonly #parts: JobParts;
  #succession: Promise<Succession> | null = null;
  #root: MemberGroup | null = null;
  readonly #groups = new Set<MemberGroup>();
  /** How many built-in backends each group has made. */
  readonly #builtIns = new Map<string, number>();

  constructor(options: RankJobOptions) {
    const { parts, executors } = options;
    const { seat: rank, roster } = parts;
    this.#options = options;
    this.#parts = parts;
    this.settings = parts.settings;
    const version = roster[rank]?.version ?? "";
    this.recorder = new Recorder({ rank, size: roster.length, version, takesStacks: this.settings.isDetailed });
    this.deadlines = new Deadlines(options.holds);
    void executors.gpu?.device.lost.then(({ reason, message }) => {
      if (reason === "destroyed" && this.#groups.size === 0) return;
      const cause = new DeviceLostError(`rank ${rank} lost its GPU (${reason}): ${message}`);
      for (const group of [...this.#groups]) group.abort(cause);
    });
  }

  /** The group of all ranks. To be made once, before any other. */
  groupOfAll(): Promise<ProcessGroup> {
    const { members, epoch, seat } = this.#parts;
    return this.#groupOf({ epoch, globalRanks: members, rank: members.indexOf(seat) });
  }

  /** Waits until the ranks of a job that this one joins let it in. */
  async join(): Promise<ProcessGroup> {
    const request = { timeoutMs: this.settings.timeoutMs, dead: () => null };
    return this.#groupOf((await (await this.membership()).change("join", request)) as NextEpoch);
  }

  /** Leaves the group of all ranks, because the program has ended. */
  leaveForgotten(): void {
    const name = this.#root?.name;
    this.settings.logger.warn(
      `the program ends without leaving group "${name}", and leaves it now: call await group.destroy() when it is done`,
    );
    void this.#root?.destroy();
  }

  async #groupOf(members: NextEpoch): Promise<ProcessGroup> {
    const { groupName: name, timeoutMs, device: boundDevice = null } = this.settings;
    const loaded = await this.loadBackend({});
    return new ProcessGroup({ job: this, name, description: name, timeoutMs, boundDevice, loaded, ...members });
  }

  get device(): GPUDevice | null {
    return this.#options.executors.gpu?.device ?? null;
  }

  alloc<D extends DataType>(dtype: D, count: number): HostTensorOf[D] {
    return this.#options.executors.cpu.alloc(dtype, count) as HostTensorOf[D];
  }

  storeOf(group: Membership): Store {
    return new PrefixStore(storePrefixOf(group), this.#parts.meeting.store);
  }

  async agreeOnCause(group: Membership, cause: WebcclError): Promise<WebcclError> {
    // A page whose server is gone cannot load it, and dies of what it saw itself.
    const loaded = await import("./agree-on-cause.ts").catch(() => null);
    return loaded ? loaded.agreeOnCause(this.#parts.meeting.store, keyOf(group), cause, group.rank) : cause;
  }

  kindOf({ backend = this.#backend }: BackendSettings): string {
    const { executors, nccl } = this.#options;
    if (typeof backend === "function") return "custom";
    if (backend === "webgpu" && !executors.gpu) {
      throw new UnsupportedError(`backend "webgpu": no GPU: ${executors.gpuReason}`);
    }
    if (backend === "nccl" && !nccl.choice) {
      throw new UnsupportedError(`backend "nccl" cannot be used: ${nccl.reason}`);
    }
    return nccl.ranks && (backend === "auto" || backend === "nccl") ? "nccl where it can" : "direct";
  }

  async loadBackend({ backend = this.#backend }: BackendSettings): Promise<MakeBackend | null> {
    const watched = this.settings.isDetailed();
    if (typeof backend !== "function" && !watched) return null;
    return (await import("../backend/composed/own-backend.ts")).ownBackend(typeof backend === "function", watched);
  }

  createBackend(
    group: Membership,
    settings: BackendSettings,
    loaded: MakeBackend | null,
    onDead: (cause: WebcclError) => void,
  ): Backend {
    const { name, globalRanks, rank, timeoutMs } = group;
    const { backend = this.#backend } = settings;
    const made: Backend[] = [];
    const builtIn = () => {
      const one = this.#builtInBackend(group, settings, onDead);
      made.push(one);
      return one;
    };
    if (!loaded) return builtIn();
    const { device } = this;
    const context: BackendContext = {
      ...{ rank, size: globalRanks.length, groupName: name, timeoutMs: timeLimitOf(timeoutMs), device },
      ...{ logger: this.settings.logger, deadlines: this.deadlines, store: this.storeOf(group), onDead, builtIn },
    };
    try {
      return loaded(typeof backend === "function" ? backend : builtIn, context);
    } catch (error) {
      for (const one of made) void one.dispose();
      this.#builtIns.delete(ownerOf(group, settings));
      throw error;
    }
  }

  openChannel(group: Membership, purpose: string, onDead: (cause: WebcclError) => void) {
    const { mesh } = this.#parts;
    const { name, globalRanks } = group;
    const channel = mesh.open({
      ...{ group: hash52(`group:${encodeURIComponent(keyOf(group))}/${purpose}`), name, ranks: globalRanks, onDead },
      ...{ logger: this.settings.logger, agreeOnCause: (cause: WebcclError) => this.agreeOnCause(group, cause) },
    });
    return { channel, close: () => mesh.close(channel) };
  }

  /** The choice that `initProcessGroup` was given. */
  get #backend(): BackendChoice {
    return this.settings.makeBackend ?? this.settings.backend;
  }

  describe({ name, rank, globalRanks, timeoutMs, epoch }: Membership, backend: string): GroupInfo {
    const { executors, nccl } = this.#options;
    const { media, mesh } = this.#parts;
    const members = this.#membersOf(globalRanks);
    const use = this.#ncclUse(globalRanks);
    return {
      name,
      rank,
      size: members.length,
      epoch,
      droppedFrames: mesh.droppedFrames,
      backend,
      executors: executors.all.map(({ name, description, arithmeticId }) => ({ name, description, arithmeticId })),
      gpu: executors.gpuReason,
      gpuMemory: executors.gpu?.memory ?? null,
      nccl: nccl.reason,
      ...media.reasons(members),
      notes: [
        ...(nccl.choice && use ? nccl.choice.notes(use) : []),
        ...(epoch > 0 && ["shared-file", "mapped-memory"].includes(slowestLink(members)) ? [MESSAGES_ALONE] : []),
      ],
      sameArithmetic: haveSameArithmetic(members),
      deterministic: this.settings.deterministic,
      timeoutMs,
      segmentBytes: this.#segmentBytes(members),
      ranks: members.map((member, index) => {
        const own = members[rank] ?? member;
        const link = index === rank ? "self" : linkBetween(own, member);
        const { runtime, version } = member;
        const checksums = link !== "self" && linkHasChecksums(own, member, link);
        return { rank: index, runtime, version, link, checksums, cudaDevice: use?.devices[index] ?? null };
      }),
    };
  }

  membership(): Promise<Succession> {
    this.#succession ??= import("./epochs/succession.ts").then(
      ({ Succession }) =>
        new Succession(this.#parts, {
          root: () => this.#root,
          has: (group) => this.#groups.has(group),
          endAll: (cause) => this.#endEpoch(cause),
          leave: () => this.#end(true),
        }),
    );
    return this.#succession;
  }

  /** Every group ends here; the next one is the group of all ranks. */
  #endEpoch(cause: WebcclError): void {
    this.#root = null;
    this.groupNames.clear();
    this.#builtIns.clear();
    for (const group of [...this.#groups]) {
      group.abort(cause);
      void group.destroy();
    }
  }

  onGroupCreated(group: MemberGroup): void {
    this.#root ??= group;
    this.#groups.add(group);
  }

  async onGroupDestroyed(group: MemberGroup, wasDead: boolean): Promise<void> {
    this.#groups.delete(group);
    if (group === this.#root) await this.#end(wasDead);
  }

  /** The end of the job takes all groups, the links and the executors with it. */
  async #end(wasDead: boolean): Promise<void> {
    const hold = keepAlive();
    for (const other of [...this.#groups]) await other.destroy();
    this.deadlines.close();
    this.#parts.mesh.leave();
    await this.#options.onLeave(wasDead);
    for (const executor of this.#options.executors.all) await executor.dispose();
    hold.cancel();
  }

  /** The direct backend, and NCCL over it where this rank is on it. */
  #builtInBackend(
    group: Membership,
    { backend = this.#backend, ncclOptions, registeredBy }: BackendSettings,
    onDead: (cause: WebcclError) => void,
  ): Backend {
    const { name, globalRanks } = group;
    const key = keyOf(group);
    const { nccl, executors } = this.#options;
    const { mesh, media, meeting } = this.#parts;
    const { logger, internal } = this.settings;
    const members = this.#membersOf(globalRanks);
    const withNccl = backend !== "cpu" && backend !== "webgpu";
    const use = withNccl ? this.#ncclUse(globalRanks) : undefined;
    // Where it comes to nothing on some ranks, the next attempt has another number on all of them.
    const owner = ownerOf(group, { registeredBy });
    const index = this.#builtIns.get(owner) ?? 0;
    this.#builtIns.set(owner, index + 1);
    const prefix = `group:${encodeURIComponent(owner)}/backend-${index}`;
    const store = new PrefixStore(prefix, meeting.store);
    let part: NcclPart | null = null;
    const channel = mesh.open({
      ...{ group: hash52(owner === key && index === 0 ? key : prefix), name, ranks: globalRanks, logger },
      agreeOnCause: (cause) => this.agreeOnCause(group, cause),
      onDead: (cause) => {
        part?.die(cause);
        onDead(cause);
      },
    });
    const link = slowestLink(members);
    const segmentBytes = this.#segmentBytes(members);
    part = nccl.choice && use ? nccl.choice.join(use, { channel, store, segmentBytes, ncclOptions }) : null;
    const direct = new DirectBackend({
      channel,
      executors: backend === "cpu" && !this.settings.device ? [executors.cpu] : executors.all,
      link,
      region: media.all.find(({ kind }) => kind === link)?.openRegion(channel) ?? null,
      hub: media.hub?.folds.open(channel.group, globalRanks, use?.clusters ?? clustersOf(members)) ?? null,
      cluster: part?.cluster ?? null,
      sameArithmetic: haveSameArithmetic(members),
      segmentBytes,
      segmentsInFlight: internal.segmentsInFlight ?? segmentsInFlightOf(link, executors.gpu !== null),
      onTransfer: internal.onTransfer,
      onDispose: () => mesh.close(channel),
    });
    return part?.backend(direct) ?? direct;
  }

  #membersOf(globalRanks: readonly number[]): RosterEntry[] {
    const { roster } = this.#parts;
    return globalRanks.flatMap((rank) => roster[rank] ?? []);
  }

  /** NCCL of these ranks; none where one joined later. */
  #ncclUse(globalRanks: readonly number[]): NcclUse | undefined {
    const { ranks } = this.#options.nccl;
    return globalRanks.every((rank) => ranks?.devices[rank] !== undefined) ? ranks?.use(globalRanks) : undefined;
  }

  /** The same on every rank: that of the epoch's first rank, if it says one. A rank with a GPU has a second arithmetic. */
  #segmentBytes(members: readonly RosterEntry[]): number {
    const hasGpu = members.some(({ arithmeticIds }) => arithmeticIds.length > 1);
    const { roster, members: all } = this.#parts;
    return roster[all[0] ?? 0]?.segmentBytes ?? segmentBytesOf(slowestLink(members), members.length, hasGpu);
  }
}

/** For what built-in backends are made: the group's first backend, or one that a call registers. */
function ownerOf(group: GroupFacts, { registeredBy }: Pick<BackendSettings, "registeredBy">): string {
  return registeredBy === undefined ? keyOf(group) : `${keyOf(group)}/registered-${registeredBy}`;
}

/**
 * The prefix of a group's own keys in the store at which its job met. Names have slashes; so the prefix has none but the last, and
 * no key of one group is a key of another.
 */
export function storePrefixOf(group: GroupFacts): string {
  return `group:${encodeURIComponent(keyOf(group))}/store`;
}

/** What tells a group from all others of the job: ranks that have no group in common may give theirs one name. */
export function keyOf({ name, globalRanks, epoch = 0 }: GroupFacts): string {
  return `${name}:${hash52(globalRanks.join()).toString(36)}${epoch > 0 ? `:${epoch}` : ""}`;
}
