/** The invariants of every run, by name. docs/simulation.md explains each. */
import { IntegrityError, PeerLostError, TimeoutError, WebcclError } from "../../errors.ts";
import { MAX_HUB_BYTES } from "../hub.ts";
import { WrongValueError } from "./program.ts";
import type { RankOutcome, RunResult } from "./run-schedule.ts";
import type { Fault } from "./schedule.ts";

/** An invariant that did not hold. */
export interface Violation {
  readonly invariant: string;
  readonly text: string;
}

const INVARIANTS: Readonly<Record<string, (result: RunResult) => string[]>> = {
  settles: unsettled,
  exact: ({ ranks }) =>
    ranks.flatMap(({ rank, error }) => (error instanceof WrongValueError ? [`rank ${rank}: ${error.message}`] : [])),
  "same-bits": ({ told }) =>
    [...told].flatMap(([name, ranks]) =>
      new Set(ranks.values()).size > 1 ? [`${name}: ${JSON.stringify([...ranks])}`] : [],
    ),
  "one-cause": differingCauses,
  "true-cause": wrongCauses,
  noticed: ({ unnoticed, happened }) => (happened.some(({ kind }) => kind === "pause") ? [] : [...unnoticed]),
  unharmed: harmedForNothing,
  "nothing-thrown": ({ thrown }) => [...thrown],
  "nothing-left": ({ left }) => [...left],
  "bounded-memory": ({ mostBytes }) => (mostBytes > MAX_HUB_BYTES ? [`one process held ${mostBytes} B`] : []),
};

/** Every invariant that did not hold. */
export function violationsOf(result: RunResult): Violation[] {
  return Object.entries(INVARIANTS).flatMap(([invariant, check]) => check(result).map((text) => ({ invariant, text })));
}

/** Ranks whose processes live. */
function survivors({ ranks }: RunResult): RankOutcome[] {
  return ranks.filter(({ hasDied }) => !hasDied);
}

function unsettled(result: RunResult): string[] {
  const pausedMs = result.happened.reduce((sum, fault) => sum + (fault.kind === "pause" ? fault.ms : 0), 0);
  return survivors(result).flatMap(({ rank, phase, calls }) => {
    const late = calls.filter(({ startedAt, endedAt, limitMs }) => {
      return endedAt === null
        ? result.endMs > startedAt + limitMs + pausedMs
        : endedAt - startedAt > limitMs + pausedMs;
    });
    const text = late.map(({ name, startedAt, endedAt, limitMs }) => {
      const took = endedAt === null ? "did not end" : `took ${Math.round(endedAt - startedAt)} ms`;
      return `rank ${rank}: ${name} ${took}; its bound is ${limitMs} ms`;
    });
    return phase === "gone" || text.length > 0 ? text : [`rank ${rank}: it is ${phase} for ever`];
  });
}

/** What an error says happened. */
function causeText(error: Error): string {
  if (error instanceof PeerLostError) return `rank ${error.rank} lost`;
  if (error instanceof TimeoutError) return `timeout, missing ${[...error.missingRanks].join() || "unknown"}`;
  if (error instanceof IntegrityError) {
    const { rank, peer, url } = error.details;
    return `damaged between rank ${rank} and ${url === undefined ? `rank ${peer}` : "the hub"}`;
  }
  return error instanceof WebcclError ? error.code : error.name;
}

function causes(result: RunResult): { rank: number; cause: string }[] {
  return survivors(result).flatMap(({ rank, cause }) => (cause ? [{ rank, cause: causeText(cause) }] : []));
}

/** Names the ranks: do they appear in the text of a cause? */
function names(cause: string, rank: number): boolean {
  return new RegExp(`\\b(rank |missing [\\d,]*)${rank}\\b`).test(cause);
}

/**
 * The cause that most survivors name is that of all. Another one may name a rank that a fault has cut off, for it may have heard
 * of nothing: one that the cause names, or one that has nothing but a hub that a fault has hit.
 */
function differingCauses(result: RunResult): string[] {
  const all = causes(result);
  const harmed = new Set(result.happened.flatMap(culpritsOf));
  const { topology, ranks } = result.schedule;
  const hasHubOnly = (rank: number) => topology === "tabs" || (topology === "mixed" && rank >= ranks / 2);
  const wasAway = (rank: number) =>
    result.happened.some(({ kind, where }) => (kind === "pause" || kind === "slow-reader") && where === `rank ${rank}`);
  const isCutOff = (cause: string, rank: number) =>
    wasAway(rank) ||
    (names(cause, rank) && (harmed.has(`rank ${rank}`) || harmed.has("hub"))) ||
    (harmed.has("hub") && hasHubOnly(rank));
  const counts = new Map<string, number>();
  for (const { cause } of all.filter(({ rank }) => !wasAway(rank))) counts.set(cause, (counts.get(cause) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const agree = [...counts].some(
    ([main, count]) => count === most && all.every(({ rank, cause }) => cause === main || isCutOff(main, rank)),
  );
  if (counts.size <= 1 || agree || isStoreSilent(result)) return [];
  return [all.map(({ rank, cause }) => `rank ${rank}: ${cause}`).join("; ")];
}

/** A fault keeps the store from answering, and is no close that all see: nobody is there who could say what came first. */
function isStoreSilent({ happened, schedule: { topology } }: RunResult): boolean {
  const store = topology === "hosted" ? "rank 0" : "hub";
  return happened.some(
    (fault) => isSilent(fault) && culpritsOf(fault).includes(store) && (happened.length > 1 || fault.kind === "pause"),
  );
}

/** The places that a fault may make appear lost. */
function culpritsOf(fault: Fault): string[] {
  switch (fault.kind) {
    case "jump":
      return [];
    case "crash":
    case "pause":
    case "slow-reader":
      return [fault.where];
    default:
      return [fault.where, fault.other];
  }
}

const SILENT: readonly Fault["kind"][] = ["pause", "half-open", "stall", "throttle", "slow-reader", "delay", "flip"];

/** May a fault keep something from coming, without a close that tells of it? */
function isSilent(fault: Fault): boolean {
  return SILENT.includes(fault.kind) || (fault.kind === "crash" && fault.ending === "power");
}

function wrongCauses(result: RunResult): string[] {
  const { happened, flipped } = result;
  const culprits = new Set(happened.flatMap(culpritsOf));
  const maySilence = happened.some(isSilent);
  // A rank whose bring-up failed has left those that were up; and where some are slow, others have left a group that lives: they
  // have done their calls, or a group of a part of the ranks has died.
  const hasLeft = (rank: number) => {
    const other = result.ranks[rank];
    return other?.failedIn === "meeting" || (maySilence && other?.cause === null && other.phase === "gone");
  };
  return survivors(result).flatMap(({ rank, cause }) => {
    if (!cause) return [];
    const text = `rank ${rank}: ${causeText(cause)}, and what happened is ${JSON.stringify(happened)}`;
    // Whoever was away, or is slow, finds its connections closed.
    const wasAway = culprits.has(`rank ${rank}`);
    if (cause instanceof PeerLostError) {
      // A rank that has lost the hub leaves.
      const isTrue = culprits.has(`rank ${cause.rank}`) || culprits.has("hub") || hasLeft(cause.rank);
      return wasAway || isTrue ? [] : [text];
    }
    if (cause instanceof TimeoutError) return maySilence ? [] : [text];
    if (cause instanceof IntegrityError) return flipped > 0 ? [] : [text];
    const code = cause instanceof WebcclError ? cause.code : cause.name;
    if (code === "HUB_LOST") return wasAway || culprits.has("hub") ? [] : [text];
    // What a handshake says has no checksum, and one that is not heard in time is refused.
    if (code === "ADMISSION" || code === "PROTOCOL") return maySilence ? [] : [text];
    return [`${text}: ${cause.message}`];
  });
}

/** A bring-up has many rounds, each of which has this part of the timeout as a delay. */
const MOST_DELAY = 1 / 30;

/** Faults that may end nothing: a delay that every timeout bears, and a new time of day. */
function isHarmless(fault: Fault): boolean {
  return fault.kind === "jump" || fault.kind === "delay" || ("ms" in fault && fault.ms <= 400);
}

function harmedForNothing(result: RunResult): string[] {
  const { happened } = result;
  const delayMs = happened.reduce((sum, fault) => sum + (fault.kind === "delay" ? fault.ms : 0), 0);
  if (delayMs > MOST_DELAY * result.schedule.timeoutMs || !happened.every(isHarmless)) return [];
  return result.ranks.flatMap(({ rank, error }) => (error ? [`rank ${rank}: ${error.message}`] : []));
}
