/** Job: what all groups of one bring-up have in common on this rank. The first group spans it; destroying that one ends it. */
import { segmentBytesOf, segmentsInFlightOf } from "../algorithm/tuning.ts";
import type { Backend, BackendContext } from "../backend/backend.ts";
import type { BackendChoice } from "../backend/choice.ts";
import { DirectBackend } from "../backend/direct/direct.ts";
import { DeviceLostError, UnsupportedError, type WebcclError } from "../errors.ts";
import { Claims } from "../group/claims.ts";
import type { GroupInfo } from "../group/info.ts";
import type { BackendSettings, Job, MakeBackend, MemberGroup, Membership } from "../group/job.ts";
import { ProcessGroup } from "../group/process-group.ts";
import type { Mesh } from "../messaging/mesh.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { keepAlive } from "../support/clock.ts";
import { Deadlines } from "../support/deadlines.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { DataType, HostTensorOf } from "../types.ts";
import { hash52 } from "../wire/fingerprint.ts";
import type { Executors } from "./executors.ts";
import type { Settings } from "./init-options.ts";
import { linkHasChecksums } from "./integrity.ts";
import { clustersOf, linkBetween, slowestLink } from "./linking.ts";
import type { Media } from "./media/media.ts";
import type { JobNccl, NcclPart } from "./nccl/contract.ts";
import { haveSameArithmetic, type RosterEntry } from "./roster.ts";

/** What a job is made of. */
export interface RankJobOptions {
  settings: Settings;
  rank: number;
  roster: readonly RosterEntry[];
  mesh: Mesh;
  media: Media;
  executors: Executors;
  nccl: JobNccl;
  store: Store;
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
  readonly groupNames: Set<string> = new Set();
  readonly #options: RankJobOptions;
  #root: MemberGroup | null = null;
  readonly #groups = new Set<MemberGroup>();
  /** How many built-in backends each group has made. */
  readonly #builtIns = new Map<string, number>();

  constructor(options: RankJobOptions) {
    const { settings, executors, rank } = options;
    this.#options = options;
    this.settings = settings;
    this.deadlines = new Deadlines(options.holds);
    void executors.gpu?.device.lost.then(({ reason, message }) => {
      if (reason === "destroyed" && this.#groups.size === 0) return;
      const cause = new DeviceLostError(`rank ${rank} lost its GPU (${reason}): ${message}`);
      for (const group of [...this.#groups]) group.abort(cause);
    });
  }

  /** The group of all ranks. To be made once, before any other. */
  async groupOfAll(name: string): Promise<ProcessGroup> {
    const { roster, rank } = this.#options;
    const loaded = await this.loadBackend({});
    const globalRanks = roster.map((entry) => entry.rank);
    return new ProcessGroup({
      job: this,
      name,
      description: name,
      globalRanks,
      rank,
      timeoutMs: this.settings.timeoutMs,
      boundDevice: this.settings.device ?? null,
      loaded,
    });
  }

  get device(): GPUDevice | null {
    return this.#options.executors.gpu?.device ?? null;
  }

  alloc<D extends DataType>(dtype: D, count: number): HostTensorOf[D] {
    return this.#options.executors.cpu.alloc(dtype, count) as HostTensorOf[D];
  }

  /** Names have slashes; so the prefix has none but the last, and no key of one group is a key of another. */
  storeOf(group: Membership): Store {
    return new PrefixStore(`group:${encodeURIComponent(keyOf(group))}/store`, this.#options.store);
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
    const builtIn = () => this.#builtInBackend(group, settings, onDead);
    if (!loaded) return builtIn();
    const { device } = this;
    const context: BackendContext = {
      ...{ rank, size: globalRanks.length, groupName: name, timeoutMs: timeLimitOf(timeoutMs), device },
      ...{ logger: this.settings.logger, deadlines: this.deadlines, store: this.storeOf(group), onDead, builtIn },
    };
    return loaded(typeof backend === "function" ? backend : builtIn, context);
  }

  /** The choice that `initProcessGroup` was given. */
  get #backend(): BackendChoice {
    return this.settings.makeBackend ?? this.settings.backend;
  }

  describe({ name, rank, globalRanks, timeoutMs }: Membership, backend: string): GroupInfo {
    const { executors, media, nccl } = this.#options;
    const members = this.#membersOf(globalRanks);
    const use = nccl.ranks?.use(globalRanks);
    return {
      name,
      rank,
      size: members.length,
      backend,
      executors: executors.all.map(({ name, description, arithmeticId }) => ({ name, description, arithmeticId })),
      gpu: executors.gpuReason,
      gpuMemory: executors.gpu?.memory ?? null,
      nccl: nccl.reason,
      sharedFile: media.filesReason(),
      notes: nccl.choice && use ? nccl.choice.notes(use) : [],
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

  onGroupCreated(group: MemberGroup): void {
    this.#root ??= group;
    this.#groups.add(group);
  }

  /** The job's own group takes the others, the links and the executors with it. */
  async onGroupDestroyed(group: MemberGroup, wasDead: boolean): Promise<void> {
    this.#groups.delete(group);
    if (group !== this.#root) return;
    const hold = keepAlive();
    for (const other of [...this.#groups]) await other.destroy();
    this.deadlines.close();
    this.#options.mesh.leave();
    await this.#options.onLeave(wasDead);
    for (const executor of this.#options.executors.all) await executor.dispose();
    hold.cancel();
  }

  /** The direct backend, and NCCL over it where this rank is on it. */
  #builtInBackend(
    group: Membership,
    { backend = this.#backend, ncclOptions }: BackendSettings,
    onDead: (cause: WebcclError) => void,
  ): Backend {
    const { name, globalRanks } = group;
    const key = keyOf(group);
    const { mesh, media, nccl, executors } = this.#options;
    const { logger, internal } = this.settings;
    const members = this.#membersOf(globalRanks);
    const withNccl = backend !== "cpu" && backend !== "webgpu";
    const use = withNccl ? nccl.ranks?.use(globalRanks) : undefined;
    const index = this.#builtIns.get(key) ?? 0;
    this.#builtIns.set(key, index + 1);
    const prefix = `group:${encodeURIComponent(key)}/backend-${index}`;
    const store = new PrefixStore(prefix, this.#options.store);
    let part: NcclPart | null = null;
    const channel = mesh.open({
      ...{ group: hash52(index === 0 ? key : prefix), name, ranks: globalRanks, logger },
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
    const { roster } = this.#options;
    return globalRanks.flatMap((rank) => roster[rank] ?? []);
  }

  /** The same on every rank: rank 0's of the job, if it says one. A rank with a GPU has a second arithmetic. */
  #segmentBytes(members: readonly RosterEntry[]): number {
    const hasGpu = members.some(({ arithmeticIds }) => arithmeticIds.length > 1);
    return this.#options.roster[0]?.segmentBytes ?? segmentBytesOf(slowestLink(members), members.length, hasGpu);
  }
}

/** What tells a group from all others of the job: ranks that have no group in common may give theirs one name. */
function keyOf({ name, globalRanks }: Membership): string {
  return `${name}:${hash52(globalRanks.join()).toString(36)}`;
}
