/**
 * Arbiter: by which a leader decides an epoch change. The store, where it can be reached; if a hub kept it, and is proved to have
 * ended, a majority of the members that are not proved to have died, and a new hub: in the leader's process, or the same one, which
 * was started again.
 *
 * A store that gives no answer counts as one that has ended if its process is on this machine: it is stopped, and what was written to
 * it lies in its sockets, to be read before anything else when it wakes. So it is told first that the others have left:
 *
 *   membership/left         they went on without the rank that hosts this store
 */
import { AdmissionError, HubLostError, TimeoutError, UnsupportedError } from "../../errors.ts";
import { decodeVerdict, encodeVerdict, type Verdict } from "../../membership/verdict.ts";
import type { HubHandle, Platform } from "../../platform.ts";
import { now, sleep, startTimer } from "../../support/clock.ts";
import { BIND_REMEDIES } from "../bind-remedies.ts";
import type { RosterEntry } from "../roster.ts";
import type { JobParts } from "./parts.ts";

/** How long the store may take to decide, in milliseconds. */
const STORE_MS = 5_000;
/** How long a process whose links have closed may take to be gone, in milliseconds. */
const DYING_MS = 1_000;
const LOOK_MS = 20;
/** An answer of a store in this process that took so long may have been overtaken by the others, in milliseconds. */
const TRUSTED_MS = 2_500;
const LEFT = "membership/left";
/** How long a connection to an address is first tried that is expected to refuse, in milliseconds; then for twice as long. */
const REFUSAL_MS = 100;

/** Has a proposal voted on, and fails without a majority of so many voters. */
export type Vote = (proposal: Verdict, voters: number) => Promise<Verdict>;

/** How a leader decides. */
export interface DecideOptions {
  /** The hub was started again, and the members have come back to it: its store knows nothing of earlier verdicts. */
  readonly isBack: boolean;
  /** Gets the hub that was started for the verdict. */
  keep(hosted: HubHandle): void;
}

/**
 * The verdict.
 * @throws AdmissionError if this side may decide nothing; TimeoutError if the store does not answer; UnsupportedError if this rank cannot host a hub.
 */
export async function decide(
  parts: JobParts,
  proposal: Verdict,
  vote: Vote,
  { isBack, keep }: DecideOptions,
): Promise<Verdict> {
  const { meeting } = parts;
  // Members with direct links may not be there yet.
  if (isBack) return vote({ ...proposal, hub: { url: meeting.hub!.url, seat: parts.seat } }, await votersOf(parts));
  let stopped = -1;
  try {
    return await askStore(parts, proposal);
  } catch (error) {
    if (!meeting.hub) throw error;
    if (error instanceof TimeoutError && isStopped(parts)) {
      stopped = meeting.hub.welcome.hostRank!;
      meeting.store.set(LEFT, "").catch(() => {});
    } else if (!(error instanceof HubLostError)) throw error;
    // Its process may have ended after that, and the verdict with it.
    else if (meeting.hub.givenUp !== null) throw shutOut(parts, `was given up: ${meeting.hub.givenUp}`);
    else await expectEnded(parts, meeting.hub.url);
  }
  const voters = await votersOf(parts, stopped);
  const members = proposal.members.filter((member) => member !== stopped);
  const hosted = await startHub(parts, meeting.hub.url);
  try {
    const verdict = await vote({ ...proposal, members, hub: { url: hosted.url, seat: parts.seat } }, voters);
    if (verdict.hub?.url === hosted.url) keep(hosted);
    else await hosted.close();
    return verdict;
  } catch (error) {
    await hosted.close();
    throw error;
  }
}

/** The store's verdict. */
async function askStore(parts: JobParts, proposal: Verdict): Promise<Verdict> {
  const { settings, meeting, seat } = parts;
  const { store, hub } = meeting;
  const key = `membership/verdict/${proposal.epoch}`;
  const began = now();
  const verdict = decodeVerdict(await inTime(parts, store.compareSet(key, "", encodeVerdict(proposal))));
  if (hub?.welcome.hostRank !== seat) return verdict;
  const name = `group "${settings.groupName}"`;
  if (await inTime(parts, store.check([LEFT]))) {
    throw new AdmissionError(
      `${name} goes on without this rank, whose process was stopped: it may join anew (initProcessGroup with join: true)`,
    );
  }
  if (now() - began > TRUSTED_MS)
    throw new TimeoutError(`${name}: the store in this rank's process did not answer in time`);
  return verdict;
}

/**
 * Is the process of the store, which gave no answer, one of this machine, which lives, and another than this rank's? It may have left
 * the group, and wait for the others to leave its hub. One whose link was lost may have decided before, without this rank.
 */
function isStopped({ platform, roster, meeting: { hub }, seat, mesh }: JobParts): boolean {
  const host = hub?.welcome.hostRank ?? seat;
  if (host === seat || hub?.isClosed || mesh.hasLost(host)) return false;
  return platform.processState(roster[host]?.processId ?? "") === "alive";
}

/** The store's answer. A store whose process is stopped gives none, and may go on later: so nobody goes on without it. */
function inTime<T>({ settings, meeting }: JobParts, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const where = meeting.hub ? ` at ${meeting.hub.url}` : "";
    const text = `group "${settings.groupName}": the store${where} does not answer, and only the side that holds it goes on`;
    const timer = startTimer(STORE_MS, () => reject(new TimeoutError(text)));
    answer.finally(() => timer.cancel()).then(resolve, reject);
  });
}

/** @throws AdmissionError if the hub may live: others may reach it, and go on there. */
async function expectEnded(parts: JobParts, url: string): Promise<void> {
  const { platform, settings, roster, meeting } = parts;
  const host = roster[meeting.hub?.welcome.hostRank ?? -1];
  if (!(await hasDied(platform, host, url, settings.groupName))) throw shutOut(parts, "is lost, and the hub may live");
}

function shutOut({ settings, meeting }: JobParts, state: string): AdmissionError {
  return new AdmissionError(
    `group "${settings.groupName}": the connection to the hub at ${meeting.hub?.url}, which keeps the store, ${state}. Only the side ` +
      "that reaches it goes on. This rank may join anew (initProcessGroup with join: true)",
  );
}

/** How many members are not proved to have died, the rank `stopped` apart. */
async function votersOf(
  { platform, settings, members: all, roster, mesh, seat }: JobParts,
  stopped = -1,
): Promise<number> {
  const members = all.filter((member) => member !== stopped);
  const lost = members.filter((member) => member !== seat && !mesh.reaches(member));
  const { groupName } = settings;
  const states = await Promise.all(
    lost.map((member) => hasDied(platform, roster[member], roster[member]?.listenUrl ?? null, groupName)),
  );
  return members.length - states.filter(Boolean).length;
}

/**
 * Is it proved that a rank, which listened at `url`, has died? Its process is one of this machine and gone, or its port refuses
 * connections, as that of a thread that has ended does. It may be about to.
 */
async function hasDied(
  platform: Platform,
  entry: RosterEntry | undefined,
  url: string | null,
  group: string,
): Promise<boolean> {
  const deadline = now() + DYING_MS;
  for (let limitMs = REFUSAL_MS; ; limitMs = Math.min(2 * limitMs, DYING_MS)) {
    if (entry && platform.processState(entry.processId) === "gone") return true;
    if (url !== null && (await refuses(platform, url, group, limitMs))) return true;
    if (now() >= deadline) return false;
    await sleep(LOOK_MS);
  }
}

/** Does the machine of this address answer that nothing listens there? */
async function refuses(platform: Platform, url: string, group: string, timeoutMs: number): Promise<boolean> {
  const hello = { group, rank: null, worldSize: 1, purpose: "store" as const, checksums: false };
  try {
    const { socket } = await platform.connect(url, hello, { timeoutMs });
    socket.terminate();
    return false;
  } catch (error) {
    const cause = error instanceof TimeoutError ? (error.cause as { code?: unknown } | undefined) : undefined;
    return cause?.code === "ECONNREFUSED";
  }
}

/** A hub in this process: at the old one's port if that is free here, for whoever joins looks there. */
async function startHub({ platform, settings, seat }: JobParts, oldUrl: string): Promise<HubHandle> {
  if (!platform.canListen)
    throw new UnsupportedError("this runtime cannot host a hub in place of the one that is gone");
  if (settings.ticket !== undefined) {
    throw new UnsupportedError(
      "this rank came by a ticket, and cannot host a hub, which needs the token: give tickets to higher ranks, or run webccl hub",
    );
  }
  const { token, listen, logger, peerTimeoutMs } = settings;
  const { host = "127.0.0.1", tls, insecure = false } = listen;
  const options = {
    ...{ host, hostRank: seat, insecure, remedies: BIND_REMEDIES, silenceMs: peerTimeoutMs, logger },
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  };
  try {
    return await platform.startHub({ ...options, port: Number(new URL(oldUrl).port) });
  } catch {
    return platform.startHub({ ...options, port: 0 });
  }
}
