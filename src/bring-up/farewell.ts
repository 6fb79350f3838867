/**
 * Farewell: a rank whose bring-up fails tells the others why over the links that it has made: some may be up already, and would
 * take the close for the loss of this rank. Loaded where a bring-up fails.
 */
import { toWireError, type WebcclError } from "../errors.ts";
import type { Link } from "../link/link.ts";
import { Peer } from "../messaging/peer.ts";
import { encodeMessage } from "../wire/control-messages.ts";
import { hash52 } from "../wire/fingerprint.ts";
import { agreeOnCause } from "./agree-on-cause.ts";
import { keyOf } from "./job.ts";
import type { Meeting } from "./meeting/contract.ts";
import type { RosterEntry } from "./roster.ts";

/** Tells the cause on which the ranks of the group of all, `name`, agree. A hub tells the ranks that it relays by itself. */
export async function sayFarewell(
  links: ReadonlyMap<number, Link>,
  { rank, store }: Meeting,
  name: string,
  roster: readonly RosterEntry[],
  cause: WebcclError,
): Promise<void> {
  const direct = [...links].filter(([, { kind }]) => kind !== "hub");
  if (direct.length === 0) return;
  const key = keyOf({ name, globalRanks: roster.map((entry) => entry.rank) });
  const verdict = await agreeOnCause(store, key, cause, rank);
  const body = encodeMessage({ type: "abort", error: toWireError(verdict) });
  for (const [other, link] of direct) new Peer(other, link, rank, 0).control(hash52(key), body);
}
