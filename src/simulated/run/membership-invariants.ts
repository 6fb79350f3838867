/** The invariants of docs/membership.md, by the names that they have there. */
import type { Epoch, RunResult } from "./run-schedule.ts";

/** What each found to be broken, as texts. */
export const MEMBERSHIP_INVARIANTS: Readonly<Record<string, (result: RunResult) => string[]>> = {
  "one-verdict": splitVerdicts,
  "own-member": ({ ranks }) =>
    ranks.flatMap(({ rank, seat, epochs }) =>
      epochs.flatMap(({ epoch, members }) =>
        seat !== null && members.includes(seat) ? [] : [`rank ${rank} is none of epoch ${epoch}: ${members}`],
      ),
    ),
  order: ({ ranks }) =>
    ranks.flatMap(({ rank, epochs }) =>
      epochs.flatMap((next, at) => {
        const before = epochs[at - 1];
        return before && !isInOrder(before, next) ? [`rank ${rank}: ${before.members}, then ${next.members}`] : [];
      }),
    ),
  "old-is-dead": ({ alive }) => [...alive],
  "goes-on": stopped,
};

/** Faults by which a rank loses the others without a word of theirs. */
const WORDLESS: readonly string[] = [
  ...["cut", "half-open", "stall", "pause", "crash", "throttle", "slow-reader", "restart"],
];

/** A rank that is paused for so many timeouts is given up by all others; after less, some may have given it up, and others not. */
const MANY_TIMEOUTS = 6;

/** A hub that is away for so long is awaited: the time of the shortest timeout, less the longest wait between two tries. */
const SHORT_RESTART_MS = 2_000;

/**
 * Two verdicts of one epoch. A rank that lost all others without a word, and finds that their processes have ended before it decides
 * for itself, cannot tell their end from their death: that is none.
 */
function splitVerdicts({ ranks, happened }: RunResult): string[] {
  const isWordless = happened.some(({ kind }) => WORDLESS.includes(kind));
  const all = ranks.flatMap(({ rank, epochs, endedAtMs }) => epochs.map((epoch) => ({ ...epoch, rank, endedAtMs })));
  return all.flatMap(({ epoch, members, atMs, rank }) => {
    const other = all.find(
      (told) =>
        told.epoch === epoch &&
        told.members.join() !== members.join() &&
        told.atMs <= atMs &&
        (!isWordless || told.endedAtMs > atMs),
    );
    return other ? [`epoch ${epoch}: rank ${rank}: ${members}; rank ${other.rank}: ${other.members}`] : [];
  });
}

/** Those who stay have their order, and those who join come last. */
function isInOrder(before: Epoch, next: Epoch): boolean {
  const stay = before.members.filter((seat) => next.members.includes(seat));
  return stay.every((seat, at) => next.members[at] === seat);
}

/**
 * Where nothing happens but that ranks end, and their systems close their connections, all others come to the end. Where
 * the hub was started again, and no rank ended, half of them may not: others had come to the end before, and these were no majority.
 */
function stopped({ schedule, happened, ranks }: RunResult): string[] {
  const { joins, ranks: worldSize, topology, isOneMachine } = schedule;
  const isClear = happened.every(
    (fault) =>
      fault.kind === "jump" ||
      (fault.kind === "crash" && fault.ending === "exit" && fault.where !== "hub") ||
      (fault.kind === "restart" && fault.ms <= SHORT_RESTART_MS) ||
      (fault.kind === "pause" && isOneMachine && fault.ms > MANY_TIMEOUTS * schedule.timeoutMs),
  );
  const members = ranks.filter(({ rank }) => rank < worldSize);
  // A bring-up ends with the first rank that is lost, and with a store that a rank hosted go those that wait at it.
  const hasMet = members.every(({ seat, hasDied }) => seat !== null || hasDied);
  const wasUp = members.every(({ failedIn }) => failedIn !== "meeting");
  if (joins === undefined || !isClear || !hasMet || !wasUp) return [];
  const wasPaused = (rank: number) => happened.some(({ kind, where }) => kind === "pause" && where === `rank ${rank}`);
  const others = members.filter(({ rank }) => !wasPaused(rank));
  const stuck = others.flatMap(({ rank, error }) => (error ? [`${topology}, rank ${rank}: ${error.message}`] : []));
  const wasRestarted = happened.some(({ kind }) => kind === "restart");
  const mayStop = wasRestarted && (stuck.length * 2 <= worldSize || members.some(({ hasDied }) => hasDied));
  return mayStop ? [] : stuck;
}
