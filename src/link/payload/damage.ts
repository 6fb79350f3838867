/** Damage: the errors of links that delivered other bytes than were sent. */
import { IntegrityError } from "../../errors.ts";

const REMEDY =
  "The fault is in the network, a proxy or the memory between the two: make a new group, on another way if it happens again";

/** The link between two ranks of `group` is damaged: the same error at both ends. `seen` says what the receiving one saw. */
export function linkDamage(group: string, a: number, b: number, seen: string): IntegrityError {
  const [rank, peer] = a < b ? [a, b] : [b, a];
  const text = `group "${group}": the link between rank ${rank} and rank ${peer} changed bytes on the way: ${seen}. ${REMEDY}`;
  return new IntegrityError(text, { group, rank, peer });
}

/** The connection between `rank`, of `group` or else of the job, and the hub at `url` is damaged. */
export function hubDamage(group: string | null, rank: number, url: string, seen: string): IntegrityError {
  const start = group === null ? "" : `group "${group}": `;
  const text = `${start}the connection between rank ${rank} and the hub at ${url} changed bytes on the way: ${seen}. ${REMEDY}`;
  return new IntegrityError(text, { ...(group === null ? {} : { group }), rank, url });
}
