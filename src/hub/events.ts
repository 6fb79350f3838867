/** What happens at a hub's door and inside, for whoever watches over it: a log, and counts. */

/** Why somebody was not let in. */
export const REFUSALS = [
  /** No Host under which the hub is reached, or an Origin that is not on the list. */
  ...(["host", "origin"] as const),
  /** Too many connections of the address that have not said hello. */
  "crowd",
  /** No hello in time, one of too many bytes, a malformed one, one of another version, one with a wrong proof. */
  ...(["silence", "size", "malformed", "version", "proof"] as const),
  /** The proof was right: the ticket lets nobody in, or not here; the group does not, or not now. */
  ...(["ticket", "group", "later"] as const),
  /** An error of the hub itself. */
  "fault",
] as const;

export type Refusal = (typeof REFUSALS)[number];

/** Where a newcomer comes from, where he is, and how he went. Addresses are those of the connection, a proxy's where there is one. */
export type HubEvent =
  | { event: "joined"; group: string; rank: number; as: "rank" | "store"; address: string }
  | { event: "left"; group: string; rank: number }
  /** Evicted members are lost as well. */
  | { event: "lost"; group: string; rank: number; reason: string }
  | { event: "evicted"; group: string; rank: number; code: number; reason: string }
  | { event: "refused"; kind: Refusal; address: string; reason: string };
