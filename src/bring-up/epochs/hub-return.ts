/**
 * Hub return: how the ranks of a job meet again at their hub, which no rank hosted, once it has been started again. The old store
 * was the job's arbiter and is gone, so a majority of the members decides (arbiter.ts). The new one has only who is there:
 *
 *   membership/back/e/n     the member with seat n of epoch e
 */
import { AdmissionError, HubLostError, TimeoutError } from "../../errors.ts";
import { now } from "../../support/clock.ts";
import { linkBetween } from "../linking.ts";
import { moveToHub } from "./hub-move.ts";
import type { JobParts } from "./parts.ts";

/** How long a rank waits for its hub and for the others there, in milliseconds. */
const GRACE_MS = 10_000;
/** How long it tries to come there where all members have direct links, and can go on without. */
const BRIEF_MS = 1_000;
/** The longest single wait at the store, in milliseconds. */
const PIECE_MS = 500;

/** Is this rank's hub gone, which no rank hosted? */
export function hasLostHub({ meeting: { hub } }: JobParts): boolean {
  return hub?.isClosed === true && hub.welcome.hostRank === null && hub.givenUp === null;
}

/** Are there members that can meet at a hub alone? */
function needHub({ members, roster }: JobParts): boolean {
  const entries = members.flatMap((seat) => roster[seat] ?? []);
  return entries.some((a) => a.listenUrl === null || entries.some((b) => a !== b && linkBetween(a, b) === "hub"));
}

/**
 * Comes to the hub again, unless this rank is there, and waits for the other members if some have no direct links. Resolves to those
 * that may be there; null if the hub has not come back in time, or never went and refuses a rank that it has lost.
 */
export async function returnToHub(parts: JobParts, timeoutMs: number): Promise<ReadonlySet<number> | null> {
  const { meeting, epoch, seat, members } = parts;
  const graceMs = Math.min(needHub(parts) ? GRACE_MS : BRIEF_MS, timeoutMs);
  const deadline = now() + graceMs;
  try {
    if (meeting.hub!.isClosed) await moveToHub(parts, meeting.hub!.url, { timeoutMs: graceMs });
    if (!needHub(parts)) return new Set(members);
    await parts.meeting.store.set(keyOf(epoch, seat), "");
    return await waitForAll(parts, deadline);
  } catch (error) {
    if ([TimeoutError, HubLostError, AdmissionError].some((kind) => error instanceof kind)) return null;
    throw error;
  }
}

/** The members that are there when all are, or when the time is over. */
async function waitForAll({ meeting, members, epoch }: JobParts, deadline: number): Promise<Set<number>> {
  const keys = members.map((member) => keyOf(epoch, member));
  for (let leftMs = deadline - now(); leftMs > 0; leftMs = deadline - now()) {
    try {
      await meeting.store.wait(keys, Math.min(leftMs, PIECE_MS));
      return new Set(members);
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
  const isThere = await Promise.all(keys.map((key) => meeting.store.check([key])));
  return new Set(members.filter((_, at) => isThere[at]));
}

const keyOf = (epoch: number, member: number) => `membership/back/${epoch}/${member}`;
