/**
 * The memory links of all jobs whose ranks are tasks of this thread. `memory://name` names a job in this registry; the
 * knobs make its links behave like a slow or choppy network.
 */

import { AdmissionError } from "../../errors.ts";
import { CALLED_TWICE } from "../../support/called-twice.ts";
import type { Link } from "../link.ts";
import { type Hold, MemoryLink } from "./link.ts";

/** How a memory link may be made worse, for tests. */
export interface MemoryKnobs {
  /** Milliseconds between sending and delivery, of each frame by itself: many may be under way. Default: none, delivery in the next microtask. */
  latencyMs?: number;
  /** Called before each delivery; may return a promise that holds it up. Order within a link is kept. */
  gate?: (from: number, to: number) => Promise<void> | undefined;
}

/** A job whose ranks are in this thread. */
interface MemoryJob {
  readonly size: number;
  readonly common: { close(): unknown };
  readonly taken: Set<number>;
  readonly links: Map<number, Link>[];
}

const jobs = new Map<string, MemoryJob>();
/** The latest job of a name that has ranks: its name may be free already, and ranks may join it. */
const running = new Map<string, MemoryJob>();

/** A rank of a job, as the one who joined as it has it. */
export interface MemorySeat<T> {
  readonly rank: number;
  /** Made by the first to come, for all. */
  readonly common: T;
  /** Links to all other ranks; a rank that joins later finds the frames that were sent to it before. */
  readonly links: ReadonlyMap<number, Link>;
  /** Gives the rank up; the job's name is then free for another job. With the last rank `common` is closed. */
  leave(): void;
}

/**
 * Joins job `name`, which the first to come makes with its `knobs` and with the result of `makeCommon`. `rank` may be
 * null: the next free one.
 * `onRefused` is told of a rank that gives another size, for the others to be told.
 * @throws AdmissionError if the rank is taken, or the size differs from the first comer's.
 */
export function joinMemoryJob<T extends { close(): unknown }>(
  name: string,
  rank: number | null,
  size: number,
  knobs: MemoryKnobs,
  makeCommon: () => T,
  onRefused: (common: T, error: AdmissionError) => void = () => {},
): MemorySeat<T> {
  let job = jobs.get(name);
  if (!job) {
    job = { size, common: makeCommon(), taken: new Set(), links: linkAll(size, knobs) };
    jobs.set(name, job);
    running.set(name, job);
  }
  if (job.size !== size) {
    const text = `memory://${name} was begun with worldSize ${job.size}, and another rank says ${size}`;
    const error = new AdmissionError(`${text}: all ranks give the same`);
    onRefused(job.common as T, error);
    throw error;
  }
  const { taken, links } = job;
  const own = rank ?? links.findIndex((_, candidate) => !taken.has(candidate));
  const ownLinks = links[own];
  if (!ownLinks || taken.has(own)) {
    throw new AdmissionError(
      rank === null
        ? `memory://${name} has its ${size} ranks already`
        : `rank ${rank} of memory://${name} is taken: ${CALLED_TWICE}`,
      rank === null ? {} : { rank },
    );
  }
  return seatIn(name, job, own);
}

/**
 * Takes a seat behind all others in the job of this name that runs, with links to all its ranks.
 * @throws AdmissionError if there is none.
 */
export function joinRunningJob<T extends { close(): unknown }>(name: string, knobs: MemoryKnobs): MemorySeat<T> {
  const job = running.get(name);
  if (!job) throw new AdmissionError(`memory://${name} has no group that runs: start one before ranks join it`);
  const own = job.links.length;
  const ownLinks = new Map<number, Link>();
  job.links.push(ownLinks);
  for (const other of job.taken) link(job.links, other, own, knobs);
  return seatIn(name, job, own);
}

/** Ends the links of a rank as the end of its process would, for tests. */
export function loseMemoryRank(name: string, rank: number): void {
  const job = running.get(name);
  job?.taken.delete(rank);
  for (const own of job?.links[rank]?.values() ?? []) own.close();
}

function seatIn<T extends { close(): unknown }>(name: string, job: MemoryJob, rank: number): MemorySeat<T> {
  const { taken, common, links } = job;
  taken.add(rank);
  return {
    rank,
    common: common as T,
    links: links[rank] ?? new Map(),
    leave: () => {
      if (jobs.get(name) === job) jobs.delete(name);
      taken.delete(rank);
      if (taken.size > 0) return;
      if (running.get(name) === job) running.delete(name);
      void common.close();
    },
  };
}

/** The links of every rank to every other one, by rank. */
function linkAll(size: number, knobs: MemoryKnobs): Map<number, Link>[] {
  const links = Array.from({ length: size }, () => new Map<number, Link>());
  for (let a = 0; a < size; a++) for (let b = a + 1; b < size; b++) link(links, a, b, knobs);
  return links;
}

function link(links: readonly Map<number, Link>[], a: number, b: number, knobs: MemoryKnobs): void {
  const [endOfA, endOfB] = MemoryLink.pair(holdFrom(b, a, knobs), holdFrom(a, b, knobs), knobs.latencyMs);
  links[a]?.set(b, endOfA);
  links[b]?.set(a, endOfB);
}

function holdFrom(from: number, to: number, { gate }: MemoryKnobs): Hold | null {
  return gate ? () => gate(from, to) : null;
}
