/**
 * World: what all groups of one job share on one rank: the mesh, the executor, deadlines, memory ownership, and the way
 * to make a backend for a new group. The group that `initWorldGroup` returns spans it; destroying that one ends it.
 */
import type { Backend, BackendContext } from "./backend/backend.ts";
import { DirectBackend } from "./backend/direct.ts";
import { Region } from "./backend/region.ts";
import { Deadlines } from "./deadlines.ts";
import type { WebcclError } from "./errors.ts";
import type { Executor, SharedExecutor } from "./executor/executor.ts";
import type { Logger } from "./options.ts";
import { Ownership } from "./ownership.ts";
import { linkBetween, type RosterEntry, slowestLink } from "./roster.ts";
import { PrefixStore } from "./store/prefix-store.ts";
import type { Store } from "./store/store.ts";
import type { Channel } from "./transport/channel.ts";
import { hash52 } from "./transport/fingerprint.ts";
import type { Mesh } from "./transport/mesh.ts";
import type { SharedDirectory, SharedHeap } from "./transport/shared-directory.ts";
import { pageBytes } from "./transport/shared-page.ts";
import type { LinkKind } from "./transport/transport.ts";
import type { DataType, HostArray, Runtime, Tensor } from "./types.ts";

/** What `group.info()` returns. */
export interface GroupInfo {
  name: string;
  rank: number;
  size: number;
  backend: string;
  executor: { name: string; description: string; arithmeticId: string };
  /** Do all ranks compute the same bits? If not, algorithms in which several ranks compute an element are not used. */
  sameArithmetic: boolean;
  deterministic: boolean;
  timeoutMs: number;
  segmentBytes: number;
  /** How the ranks of this group are joined to this one; this rank's own entry has link "self". */
  ranks: { rank: number; runtime: Runtime; version: string; link: LinkKind | "self" }[];
}

/** What a world needs of a group. */
export interface WorldGroup {
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  readonly globalRanks: readonly number[];
  destroy(): Promise<void>;
}

/** What threads of one job share. */
export interface WorldThreads {
  readonly heap: SharedHeap;
  readonly directory: SharedDirectory;
  readonly executor: SharedExecutor;
  readonly cores: number;
  turn(): Promise<void>;
}

/** What a world is made with. */
export interface WorldOptions {
  rank: number;
  mesh: Mesh;
  roster: readonly RosterEntry[];
  executor: Executor;
  store: Store;
  logger: Logger;
  timeoutMs: number;
  deterministic: boolean;
  algorithm: string | undefined;
  segmentBytes: number;
  segmentsInFlight: number;
  /** A user's backend instead of the direct one. */
  makeBackend: ((context: BackendContext) => Backend) | undefined;
  /** What this rank shares with the other threads of its job; null if it is no thread of one. */
  threads: WorldThreads | null;
  /** Ends what bring-up began: hub connection, listener, hub. */
  onLeave(): Promise<void>;
}

/** One job on one rank. */
export class World {
  readonly timeoutMs: number;
  readonly deterministic: boolean;
  readonly algorithm: string | undefined;
  readonly logger: Logger;
  readonly deadlines = new Deadlines();
  readonly ownership = new Ownership();
  readonly #options: WorldOptions;
  #root: WorldGroup | null = null;
  readonly #groups = new Set<WorldGroup>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.timeoutMs = options.timeoutMs;
    this.deterministic = options.deterministic;
    this.algorithm = options.algorithm;
    this.logger = options.logger;
  }

  /** The backend of a group of `globalRanks`, in which this rank is `rank`. */
  createBackend(
    name: string,
    globalRanks: readonly number[],
    rank: number,
    onDead: (cause: WebcclError) => void,
  ): Backend {
    const { mesh, roster, executor, makeBackend, store, logger, segmentBytes, segmentsInFlight } = this.#options;
    if (makeBackend) {
      const groupStore = new PrefixStore(name, store);
      return makeBackend({ rank, size: globalRanks.length, groupName: name, store: groupStore, logger, onDead });
    }
    const channel = mesh.open({ group: hash52(name), name, ranks: globalRanks, logger, onDead });
    const link = slowestLink(globalRanks.map((member) => roster[member]!));
    const region = link === "shared-memory" ? this.#openRegion(channel) : null;
    return new DirectBackend({
      channel,
      executor,
      link,
      region: region?.region ?? null,
      sameArithmetic: this.#sameArithmetic(globalRanks),
      segmentBytes,
      segmentsInFlight,
      onDispose: () => {
        mesh.close(channel);
        region?.close();
      },
    });
  }

  alloc(dtype: DataType, count: number): HostArray {
    const tensor = this.#options.executor.alloc(dtype, count) as Tensor;
    return ArrayBuffer.isView(tensor) ? tensor : tensor.data;
  }

  describe(group: WorldGroup, backend: string): GroupInfo {
    const { executor, roster, segmentBytes } = this.#options;
    const { name, description, arithmeticId } = executor;
    return {
      name: group.name,
      rank: group.rank,
      size: group.size,
      backend,
      executor: { name, description, arithmeticId },
      sameArithmetic: this.#sameArithmetic(group.globalRanks),
      deterministic: this.deterministic,
      timeoutMs: this.timeoutMs,
      segmentBytes,
      ranks: group.globalRanks.map((member, rank) => {
        const { runtime, version } = roster[member]!;
        const link = rank === group.rank ? "self" : linkBetween(roster[this.#options.rank]!, roster[member]!);
        return { rank, runtime, version, link };
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
    await this.#options.executor.dispose();
  }

  /** The shared region of a group whose ranks are threads of one job. */
  #openRegion({ group, rank, size }: Channel): { region: Region; close(): void } {
    const { heap, directory, executor, cores, turn } = this.#options.threads!;
    const bytes = pageBytes(size);
    const address = directory.acquire(group, bytes);
    const region = new Region({ buffer: heap.bufferTo(address + bytes), address, rank, size, executor, cores, turn });
    return { region, close: () => directory.release(group) };
  }

  #sameArithmetic(globalRanks: readonly number[]): boolean {
    const { roster } = this.#options;
    const ids = new Set(globalRanks.map((rank) => roster[rank]!.arithmeticId));
    return ids.size === 1;
  }
}
