/** Threads: ranks that are threads of one job, and address each other's memory. Loaded where a rank is one. */

import { addressableRows } from "../../algorithm/addressable/rows.ts";
import type { GroupRegion } from "../../backend/direct/direct.ts";
import { RegionTurns } from "../../backend/direct/region-turns.ts";
import { createAddressableCpuExecutor } from "../../executor/cpu/cpu-executor.ts";
import type { AddressableExecutor } from "../../executor/executor.ts";
import { type AddressableHeap, Directory } from "../../link/threads/directory.ts";
import { ThreadLinks } from "../../link/threads/links.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ThreadJob } from "../../platform.ts";
import { boardBytes } from "../../region/addressable/board.ts";
import { gateBytes } from "../../region/addressable/gate-words.ts";
import { AddressableRegion } from "../../region/addressable/region.ts";
import { ThreadSleep } from "../../region/addressable/sleep.ts";
import { Pace } from "../../support/pace.ts";
import { hash52 } from "../../wire/fingerprint.ts";
import type { Cleanup } from "../cleanup.ts";
import type { RosterEntry } from "../roster.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** This thread's part of the memory that the threads of its job have in common. */
export class Threads {
  /** Works in the common memory. */
  readonly executor: AddressableExecutor;
  readonly #job: ThreadJob;
  readonly #heap: AddressableHeap;
  readonly #directory: Directory;

  private constructor(job: ThreadJob, executor: AddressableExecutor, heap: AddressableHeap) {
    this.#job = job;
    this.executor = executor;
    this.#heap = heap;
    this.#directory = new Directory(heap, job.index);
  }

  /** Joins the threads of `job`; null where WebAssembly may not run. */
  static async join(job: ThreadJob): Promise<Threads | null> {
    const made = await createAddressableCpuExecutor(job.memory);
    return made && new Threads(job, made.executor, made.heap);
  }

  /** The medium of this thread in the job whose first group is `groupName`. */
  medium(groupName: string, undo: Cleanup): Medium {
    const { id, index } = this.#job;
    return {
      ...PLAIN,
      kind: "shared-memory",
      offer: { thread: { job: id, index } },
      link: async (others, take) => this.#link(others, take, groupName, undo),
      openRegion: (channel) => this.#openRegion(channel),
    };
  }

  #link(others: readonly RosterEntry[], take: Parameters<Medium["link"]>[1], groupName: string, undo: Cleanup): void {
    const own = this.#job.index;
    // The same on all threads of the job: every one of them is linked to every other.
    const threads = 1 + Math.max(own, ...others.map(({ thread }) => thread?.index ?? 0));
    const job = Math.floor(hash52(groupName) / 2);
    const links = new ThreadLinks({ heap: this.#heap, directory: this.#directory, thread: own, threads, job });
    undo.push(() => links.close());
    for (const { rank: other, thread } of others) if (thread) take(other, links.link(thread.index));
  }

  #openRegion({ group, rank, size }: Channel): GroupRegion {
    const { cores, turn } = this.#job;
    const { executor } = this;
    const bytes = boardBytes(size);
    const address = this.#directory.acquire(group, bytes);
    const buffer = this.#heap.bufferTo(address + bytes);
    const pace = new Pace(turn);
    const common = { start: 0, end: Number.POSITIVE_INFINITY };
    const sleep = new ThreadSleep(new Int32Array(buffer, address, gateBytes(size) / 4));
    const region = new AddressableRegion({ buffer, address, rank, size, executor, common, sleep, cores, pace });
    return {
      ...{ region, rows: addressableRows, crowded: size > cores },
      turns: (scope) => new RegionTurns(scope, region.steps, pace),
      close: () => this.#directory.release(group),
    };
  }
}
