/** What happens at a hub's door and inside, for whoever watches over it: a log, and counts. */

/**
 * Why somebody was not let in.
 * - `host`, `origin`: no Host under which the hub is reached, an Origin that is not on the list
 * - `crowd`: too many connections of the address that have not said hello
 * - `silence`, `size`, `malformed`, `version`, `proof`: no hello in time, one of too many bytes, a malformed one, one of another
 *   version, one with a wrong proof
 * - `ticket`, `group`, `later`: the proof was right, but the ticket lets nobody in, or not here; the group does not, or not now
 * - `fault`: an error of the hub itself
 */
export type Refusal =
  | ("host" | "origin" | "crowd")
  | ("silence" | "size" | "malformed" | "version" | "proof")
  | ("ticket" | "group" | "later")
  | "fault";

/** All of them. */
export const REFUSALS: readonly Refusal[] = [
  ...(["host", "origin", "crowd", "silence", "size", "malformed", "version", "proof"] as const),
  ...(["ticket", "group", "later", "fault"] as const),
];

/** Who came, went, or was refused. Addresses are those of the connection; of a trusted proxy's, the address that it names. */
export type HubEvent =
  | { event: "joined"; group: string; rank: number; as: "rank" | "store"; address: string }
  | { event: "left"; group: string; rank: number }
  /** Evicted members are lost as well. */
  | { event: "lost"; group: string; rank: number; reason: string }
  | { event: "evicted"; group: string; rank: number; code: number; reason: string }
  | { event: "refused"; kind: Refusal; address: string; reason: string }
  /** Somebody should look at how the hub is run. */
  | { event: "warning"; reason: string };
