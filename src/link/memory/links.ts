/**
 * The memory links of all jobs whose ranks are tasks of this thread. `memory://name` names a job in this registry; the
 * knobs make its links behave like a slow or choppy network.
 */

import { AdmissionError } from "../../errors.ts";
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
  }
  if (job.size !== size) {
    const text = `memory://${name} was begun with worldSize ${job.size}, and another rank says ${size}`;
    const error = new AdmissionError(`${text}: all ranks give the same`);
    onRefused(job.common as T, error);
    throw error;
  }
  const { taken, common, links } = job;
  const own = rank ?? links.findIndex((_, candidate) => !taken.has(candidate));
  const ownLinks = links[own];
  if (!ownLinks || taken.has(own)) {
    throw new AdmissionError(
      rank === null ? `memory://${name} has its ${size} ranks already` : `rank ${rank} of memory://${name} is taken`,
      rank === null ? {} : { rank },
    );
  }
  taken.add(own);
  const joined = job;
  return {
    rank: own,
    common: common as T,
    links: ownLinks,
    leave: () => {
      if (jobs.get(name) === joined) jobs.delete(name);
      taken.delete(own);
      if (taken.size === 0) void common.close();
    },
  };
}

/** The links of every rank to every other one, by rank. */
function linkAll(size: number, knobs: MemoryKnobs): Map<number, Link>[] {
  const links = Array.from({ length: size }, () => new Map<number, Link>());
  for (const [a, linksOfA] of links.entries()) {
    for (const [b, linksOfB] of links.entries()) {
      if (b <= a) continue;
      const [endOfA, endOfB] = MemoryLink.pair(holdFrom(b, a, knobs), holdFrom(a, b, knobs), knobs.latencyMs);
      linksOfA.set(b, endOfA);
      linksOfB.set(a, endOfB);
    }
  }
  return links;
}

function holdFrom(from: number, to: number, { gate }: MemoryKnobs): Hold | null {
  return gate ? () => gate(from, to) : null;
}
