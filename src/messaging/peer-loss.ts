/** The error of a group that has lost a rank. */
import { PeerLostError } from "../errors.ts";

/** `rank` of `group` is gone, as `reason` tells. */
export function peerLoss(group: string, rank: number, reason: string): PeerLostError {
  return new PeerLostError(`group "${group}": rank ${rank} was lost: ${reason}`, { group, peer: rank });
}
