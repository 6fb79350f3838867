/**
 * World: what all groups of one job share on one rank: the mesh, the executor, deadlines, memory ownership, and the way
 * to make a backend for a new group. The group that `initWorldGroup` returns spans it; destroying that one ends it.
 */
import type { Transfer } from "../algorithm/context.ts";
import type { Backend, BackendContext } from "../backend/backend.ts";
import { DirectBackend } from "../backend/direct/direct.ts";
import { DeviceLostError, type WebcclError } from "../errors.ts";
import type { Executor, HostExecutor } from "../executor/executor.ts";
import type { GpuExecutor, GpuMemory } from "../executor/webgpu/webgpu.ts";
import { Ownership } from "../group/claims.ts";
import type { LinkKind } from "../link/link.ts";
import type { HubFolds } from "../messaging/hub-folds.ts";
import type { Mesh } from "../messaging/mesh.ts";
import type { Logger } from "../options.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { Deadlines } from "../support/deadlines.ts";
import type { DataType, HostArray, HostTensor, Runtime } from "../types.ts";
import { hash52 } from "../wire/fingerprint.ts";
import type { AreaOpener } from "./media/areas.ts";
import type { Threads } from "./media/threads.ts";
import type { NcclChoice, NcclPart } from "./nccl/choice.ts";
import type { NcclRanks } from "./nccl/ranks.ts";
import { clustersOf, haveSameArithmetic, linkBetween, type RosterEntry, slowestLink } from "./roster.ts";

const KIB = 1024;

/**
 * Most bytes of one message. In files a few of them fit the second-level cache, from one copy to the next; on a socket a
 * message costs as much as some 100 KiB of it. Few ranks on sockets pass nothing on from rank to rank: they have no use for
 * short segments but where a GPU reads one while another travels.
 */
const SEGMENT_BYTES: Readonly<Record<LinkKind, number>> = {
  memory: 512 * KIB,
  "shared-memory": 512 * KIB,
  "shared-file": 128 * KIB,
  websocket: 1024 * KIB,
  hub: 512 * KIB,
};

const FEW_RANKS = 4;
/** Theirs: enough for whole MiBs, behind which spans of unknown length would have an empty message. */
const LONG_SEGMENT_BYTES = 4160 * KIB;

/** How many are under way at once; fewer where they are long, and no GPU has to read one while another travels. */
const SEGMENTS_IN_FLIGHT = 4;
const LONG_SEGMENTS_IN_FLIGHT = 2;

/** What `group.info()` returns. */
export interface GroupInfo {
  name: string;
  rank: number;
  size: number;
  backend: string;
  /** Whose memory and arithmetic this rank has: the cpu's, and a GPU's if one is open. */
  executors: { name: string; description: string; arithmeticId: string }[];
  /** Why there is a GPU, or why not. */
  gpu: string;
  /** What webccl holds of its memory; null if none is open. */
  gpuMemory: GpuMemory | null;
  /** Why this rank is on NCCL, or why not: which rank cannot, and what is missing there. */
  nccl: string;
  /** With which ranks this one shares files in memory, or why with none. */
  sharedFile: string;
  /** What does not run on the group's backend, or not as elsewhere. */
  notes: readonly string[];
  /** Do all ranks compute the same bits? If not, algorithms in which several ranks compute an element are not used. */
  sameArithmetic: boolean;
  deterministic: boolean;
  timeoutMs: number;
  segmentBytes: number;
  /**
   * How the ranks of this group are joined to this one; this rank's own entry has link "self". `cudaDevice` is the device
   * with which a rank of this group takes part in NCCL, or null if it does not.
   */
  ranks: { rank: number; runtime: Runtime; version: string; link: LinkKind | "self"; cudaDevice: number | null }[];
}

/** What a world needs of a group. */
export interface WorldGroup {
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  readonly globalRanks: readonly number[];
  abort(cause: WebcclError): void;
  destroy(): Promise<void>;
}

/** What a world is made with. */
export interface WorldOptions {
  rank: number;
  mesh: Mesh;
  /** What the hub can fold, if the ranks meet at one. */
  hub: HubFolds | null;
  roster: readonly RosterEntry[];
  cpu: HostExecutor;
  gpu: GpuExecutor | null;
  /** For `info()`. */
  gpuReason: string;
  /** NCCL, if this rank is on it. */
  nccl: NcclChoice | null;
  ncclReason: string;
  /** Which ranks of the job are on NCCL; null if none. */
  ncclRanks: NcclRanks | null;
  fileReason: string;
  store: Store;
  logger: Logger;
  timeoutMs: number;
  deterministic: boolean;
  algorithm: string | undefined;
  /** Null for what suits a group's links. */
  segmentBytes: number | null;
  segmentsInFlight: number | null;
  onTransfer?: ((transfer: Transfer) => void) | undefined;
  /** A user's backend instead of the direct one. */
  makeBackend: ((context: BackendContext) => Backend) | undefined;
  /** What this rank shares with the other threads of its job; null if it is no thread of one. */
  threads: Threads | null;
  /** Opens what the ranks share in files beyond messages; null if not all do. */
  openAreas: AreaOpener | null;
  /** Ends what bring-up began: hub connection, listener, hub. */
  onLeave(): Promise<void>;
}

/** One job on one rank. */
export class World {
  readonly timeoutMs: number;
  readonly deterministic: boolean;
  readonly algorithm: string | undefined;
  readonly logger: Logger;
  readonly deadlines: Deadlines = new Deadlines();
  readonly ownership: Ownership = new Ownership();
  readonly #options: WorldOptions;
  #root: WorldGroup | null = null;
  readonly #groups = new Set<WorldGroup>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.timeoutMs = options.timeoutMs;
    this.deterministic = options.deterministic;
    this.algorithm = options.algorithm;
    this.logger = options.logger;
    void options.gpu?.device.lost.then(({ reason, message }) => {
      if (reason === "destroyed" && this.#groups.size === 0) return;
      const cause = new DeviceLostError(`rank ${options.rank} lost its GPU (${reason}): ${message}`);
      for (const group of [...this.#groups]) group.abort(cause);
    });
  }

  /** The GPUDevice whose buffers this rank's calls take, or null. */
  get device(): GPUDevice | null {
    return this.#options.gpu?.device ?? null;
  }

  /** The backend of a group of `globalRanks`, in which this rank is `rank`. */
  createBackend(
    name: string,
    globalRanks: readonly number[],
    rank: number,
    onDead: (cause: WebcclError) => void,
  ): Backend {
    const { mesh, hub, roster, makeBackend, store, logger, nccl, ncclRanks, threads, openAreas } = this.#options;
    const { onTransfer } = this.#options;
    const groupStore = new PrefixStore(name, store);
    if (makeBackend) {
      return makeBackend({ rank, size: globalRanks.length, groupName: name, store: groupStore, logger, onDead });
    }
    const members = globalRanks.map((member) => roster[member]!);
    const use = ncclRanks?.use(globalRanks);
    let part: NcclPart | null = null;
    const onChannelDead = (cause: WebcclError) => {
      part?.die(cause);
      onDead(cause);
    };
    const channel = mesh.open({ group: hash52(name), name, ranks: globalRanks, logger, onDead: onChannelDead });
    const link = slowestLink(members);
    const segmentBytes = this.#segmentBytes(members);
    // Areas are for the group of all ranks, which is the first.
    const hasAreas = link === "shared-file" && this.#root === null;
    const region = link === "shared-memory" ? threads!.openRegion(channel) : hasAreas ? openAreas!(channel) : null;
    part = nccl && use ? nccl.join(use, { channel, store: groupStore, segmentBytes }) : null;
    const direct = new DirectBackend({
      channel,
      executors: this.#executors(),
      link,
      region: region?.region ?? null,
      hub: hub?.open(channel.group, globalRanks, use?.clusters ?? clustersOf(members)) ?? null,
      cluster: part?.cluster ?? null,
      sameArithmetic: haveSameArithmetic(members),
      segmentBytes,
      segmentsInFlight: this.#segmentsInFlight(link),
      onTransfer,
      onDispose: () => {
        mesh.close(channel);
        region?.close();
      },
    });
    return part?.backend(direct) ?? direct;
  }

  alloc(dtype: DataType, count: number): HostArray {
    const tensor = this.#options.cpu.alloc(dtype, count) as HostArray | HostTensor;
    return ArrayBuffer.isView(tensor) ? tensor : tensor.data;
  }

  describe(group: WorldGroup, backend: string): GroupInfo {
    const { roster, gpu, gpuReason, nccl, ncclReason, ncclRanks, fileReason } = this.#options;
    const members = group.globalRanks.map((member) => roster[member]!);
    const use = ncclRanks?.use(group.globalRanks);
    return {
      name: group.name,
      rank: group.rank,
      size: group.size,
      backend,
      executors: this.#executors().map(({ name, description, arithmeticId }) => ({ name, description, arithmeticId })),
      gpu: gpuReason,
      gpuMemory: gpu?.memory ?? null,
      nccl: ncclReason,
      sharedFile: fileReason,
      notes: nccl && use ? nccl.notes(use) : [],
      sameArithmetic: haveSameArithmetic(members),
      deterministic: this.deterministic,
      timeoutMs: this.timeoutMs,
      segmentBytes: this.#segmentBytes(members),
      ranks: group.globalRanks.map((member, rank) => {
        const { runtime, version } = roster[member]!;
        const link = rank === group.rank ? "self" : linkBetween(roster[this.#options.rank]!, roster[member]!);
        return { rank, runtime, version, link, cudaDevice: use?.devices[rank] ?? null };
      }),
    };
  }

  onGroupCreated(group: WorldGroup): void {
    this.#root ??= group;
    this.#groups.add(group);
  }

  /** The job's own group takes the others, the links and the executor with it. */
  async onGroupDestroyed(group: WorldGroup): Promise<void> {
    this.#groups.delete(group);
    if (group !== this.#root) return;
    for (const other of [...this.#groups]) await other.destroy();
    this.deadlines.close();
    this.#options.mesh.leave();
    await this.#options.onLeave();
    for (const executor of this.#executors()) await executor.dispose();
  }

  /** The same on every rank. A rank with a GPU has a second arithmetic. */
  #segmentBytes(members: readonly RosterEntry[]): number {
    const link = slowestLink(members);
    const isShort =
      link !== "websocket" ||
      members.length > FEW_RANKS ||
      members.some(({ arithmeticIds }) => arithmeticIds.length > 1);
    return this.#options.segmentBytes ?? (isShort ? SEGMENT_BYTES[link] : LONG_SEGMENT_BYTES);
  }

  #segmentsInFlight(link: LinkKind): number {
    const { segmentsInFlight, gpu } = this.#options;
    return segmentsInFlight ?? (link === "websocket" && !gpu ? LONG_SEGMENTS_IN_FLIGHT : SEGMENTS_IN_FLIGHT);
  }

  #executors(): Executor[] {
    const { cpu, gpu } = this.#options;
    return gpu ? [cpu, gpu] : [cpu];
  }
}
