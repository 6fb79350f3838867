/** The invariants of every run, by name. docs/simulation.md explains each. */
import { IntegrityError, PeerLostError, TimeoutError, WebcclError } from "../../errors.ts";
import { MAX_HUB_BYTES } from "../hub.ts";
import { MEMBERSHIP_INVARIANTS } from "./membership-invariants.ts";
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
  ...MEMBERSHIP_INVARIANTS,
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
  const { ranks, timeoutMs } = result.schedule;
  // Each rank that is silent, and whose link does not close, may have been the leader for a while.
  const silentMs = result.happened.some(isSilent) ? ranks * timeoutMs : 0;
  return survivors(result).flatMap(({ rank, phase, calls }) => {
    const late = calls.filter(({ name, startedAt, endedAt, limitMs }) => {
      const extraMs = pausedMs + (name === "shrink" || name === "admit" ? silentMs : 0);
      return (endedAt ?? result.endMs) - startedAt > limitMs + extraMs;
    });
    const text = late.map(({ name, startedAt, endedAt, limitMs }) => {
      const took = endedAt === null ? "did not end" : `took ${Math.round(endedAt - startedAt)} ms`;
      return `rank ${rank}: ${name} ${took}; its bound is ${limitMs} ms`;
    });
    return phase === "gone" || text.length > 0 ? text : [`rank ${rank}: it is ${phase} for ever`];
  });
}

/** What an error says happened; `nameOf` gives the number of a group's rank in the world. */
function causeText(error: Error, nameOf: (rank: number) => number | string): string {
  if (error instanceof PeerLostError) return `rank ${nameOf(error.rank)} lost`;
  if (error instanceof TimeoutError) return `timeout, missing ${error.missingRanks.map(nameOf).join() || "unknown"}`;
  if (error instanceof IntegrityError) {
    const { rank, peer, url } = error.details;
    const ends = [nameOf(rank ?? -1), url === undefined ? `rank ${nameOf(peer ?? -1)}` : "the hub"];
    return `damaged between rank ${ends.join(" and ")}`;
  }
  return error instanceof WebcclError ? error.code : error.name;
}

/** A group that died, as one rank tells. */
interface Death {
  readonly rank: number;
  readonly epoch: number;
  readonly error: Error;
  readonly cause: string;
  /** The rank that the cause says is lost. */
  readonly lost: number | null;
}

function deaths(result: RunResult): Death[] {
  const ranks = new Map(result.ranks.map(({ seat, rank }) => [seat, rank]));
  return survivors(result).flatMap(({ rank, deaths: own }) =>
    own.map(({ epoch, members, cause: error }) => {
      const nameOf = (member: number) => ranks.get(members[member] ?? -1) ?? "?";
      const lost = error instanceof PeerLostError ? (ranks.get(members[error.rank] ?? -1) ?? -1) : null;
      return { rank, epoch, error, cause: causeText(error, nameOf), lost };
    }),
  );
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
  const all = deaths(result);
  const epochs = new Set(all.map(({ epoch }) => epoch));
  return [...epochs].flatMap((epoch) => {
    const told = all.filter((death) => death.epoch === epoch);
    const text = differing(result, told);
    return text ? [`${epoch > 0 ? `epoch ${epoch}: ` : ""}${text}`] : [];
  });
}

/** The causes that differ in one epoch, or null. */
function differing(result: RunResult, all: readonly Death[]): string | null {
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
  if (counts.size <= 1 || agree || isStoreSilent(result)) return null;
  return all.map(({ rank, cause }) => `rank ${rank}: ${cause}`).join("; ");
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
    case "restart":
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
    const isFree = maySilence || result.schedule.joins !== undefined;
    return other?.failedIn === "meeting" || (isFree && other?.cause === null && other.phase === "gone");
  };
  // An admit ends the group of a rank that the others can no longer reach.
  const isShutOut = (code: string) => code === "ADMISSION" && result.schedule.joins !== undefined && culprits.size > 0;
  return deaths(result).flatMap(({ rank, epoch, cause: told, error: cause, lost }) => {
    const text = `rank ${rank}: ${told}, and what happened is ${JSON.stringify(happened)}`;
    // Whoever was away, or is slow, finds its connections closed.
    const wasAway = culprits.has(`rank ${rank}`);
    if (lost !== null) {
      // A rank that has lost the hub leaves.
      const isTrue = culprits.has(`rank ${lost}`) || culprits.has("hub") || hasLeft(lost);
      return wasAway || isTrue ? [] : [text];
    }
    if (cause instanceof TimeoutError) return maySilence ? [] : [text];
    if (cause instanceof IntegrityError) return flipped > 0 ? [] : [text];
    const code = cause instanceof WebcclError ? cause.code : cause.name;
    // Who lost its links while the others let ranks in hears of the epoch that follows.
    if (code === "ABORTED" && result.ranks.some(({ epochs }) => epochs.some((next) => next.epoch === epoch + 1)))
      return [];
    if (code === "HUB_LOST") return wasAway || culprits.has("hub") ? [] : [text];
    // What a handshake says has no checksum, and one that is not heard in time is refused.
    if (code === "ADMISSION" || code === "PROTOCOL") return maySilence || isShutOut(code) ? [] : [text];
    return [`${text}: ${cause.message}`];
  });
}

/** A bring-up has many rounds, each of which has this part of the timeout as a delay. */
const MOST_DELAY = 1 / 30;
/** A hub closes who does not read fast enough for this time, in which so many windows of a connection must come through. */
const WINDOWS = 15;

/** Faults that may end nothing: a delay that every timeout bears, and a new time of day. */
function isHarmless(fault: Fault): boolean {
  if (fault.kind === "restart") return false;
  return fault.kind === "jump" || fault.kind === "delay" || ("ms" in fault && fault.ms <= 400);
}

function harmedForNothing(result: RunResult): string[] {
  const { happened, schedule } = result;
  const { timeoutMs, peerTimeoutMs, topology } = schedule;
  const isRelayed = topology === "tabs" || topology === "mixed";
  const mostMs = Math.min(MOST_DELAY * timeoutMs, isRelayed ? peerTimeoutMs / WINDOWS : Number.POSITIVE_INFINITY);
  const delayMs = happened.reduce((sum, fault) => sum + (fault.kind === "delay" ? fault.ms : 0), 0);
  if (delayMs > mostMs || !happened.every(isHarmless)) return [];
  // Those that join may come when all others have gone.
  const members = result.ranks.filter(({ rank }) => rank < schedule.ranks);
  return members.flatMap(({ rank, error }) => (error ? [`rank ${rank}: ${error.message}`] : []));
}
