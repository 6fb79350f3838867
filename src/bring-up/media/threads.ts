/**
 * Threads: what a rank that is a thread of a job has beyond others. `init.ts` loads this where the rank is one; nobody
 * else needs the code.
 */
import * as algorithms from "../../algorithm/addressable/in-region.ts";
import { createAddressableCpuExecutor } from "../../executor/cpu/cpu-executor.ts";
import type { AddressableExecutor } from "../../executor/executor.ts";
import { type AddressableHeap, Directory } from "../../link/threads/directory.ts";
import { ThreadLinks } from "../../link/threads/links.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ThreadJob } from "../../platform.ts";
import { pageBytes } from "../../region/addressable/board.ts";
import { ThreadRegion } from "../../region/addressable/region.ts";

/** One rank's part of what the threads of its job share. */
export class Threads {
  readonly job: ThreadJob;
  /** Works in the common memory. */
  readonly executor: AddressableExecutor;
  readonly #heap: AddressableHeap;
  readonly #directory: Directory;

  private constructor(job: ThreadJob, executor: AddressableExecutor, heap: AddressableHeap) {
    this.job = job;
    this.executor = executor;
    this.#heap = heap;
    this.#directory = new Directory(heap);
  }

  /** Joins the threads of `job`; null where WebAssembly may not run. */
  static async join(job: ThreadJob): Promise<Threads | null> {
    const shared = await createAddressableCpuExecutor(job.memory);
    return shared && new Threads(job, shared.executor, shared.heap);
  }

  /** The links of rank `rank`, which this thread is. */
  links(rank: number): ThreadLinks {
    return new ThreadLinks(rank, this.#heap, this.#directory);
  }

  /** The region of a group whose ranks are threads of this job. */
  openRegion({ group, rank, size }: Channel): { region: ThreadRegion; close(): void } {
    const { cores, turn } = this.job;
    const { executor } = this;
    const bytes = pageBytes(size);
    const address = this.#directory.acquire(group, bytes);
    const buffer = this.#heap.bufferTo(address + bytes);
    const region = new ThreadRegion({ buffer, address, rank, size, executor, algorithms, cores, turn });
    return { region, close: () => this.#directory.release(group) };
  }
}
