/**
 * Integrity: on which connections frames have checksums. A rank may say "on" or "off"; on a link the stricter of its two ends
 * holds. Where neither says anything, there are checksums unless one kernel carries the bytes, between two ranks of one host
 * that are linked directly, or TLS protects them. A loopback address proves nothing: tunnels and sidecars have one too.
 */
import type { LinkKind } from "../link/link.ts";
import type { IntegrityWish } from "./init-options.ts";
import type { RosterEntry } from "./roster.ts";

/** Have the frames between a rank with this wish and the hub at `url` checksums? The hub does as the rank says. */
export function hubHasChecksums(wish: IntegrityWish, url: string): boolean {
  return wish === "auto" ? !isTls(url) : wish === "on";
}

/** Have the frames of the link between these two ranks checksums? Both come to the same answer. Memory and files have none. */
export function linkHasChecksums(a: RosterEntry, b: RosterEntry, kind: LinkKind): boolean {
  return (kind === "websocket" || kind === "hub") && wireHasChecksums(a, b, kind);
}

/** The same of a WebSocket between these two, or of the hub's relay; a link over files has a WebSocket underneath. */
export function wireHasChecksums(a: RosterEntry, b: RosterEntry, kind: "websocket" | "hub"): boolean {
  const wishes = [a.integrity.wish, b.integrity.wish];
  if (wishes.includes("on")) return true;
  if (wishes.every((wish) => wish === "off")) return false;
  // Beside a rank that says nothing, one that says "off" has checksums on its whole connection (media/hub.ts).
  if (kind === "hub") return wishes.includes("off") || !(a.integrity.hubTls && b.integrity.hubTls);
  const lower = a.rank < b.rank ? a : b;
  const isOneHost = a.hostId !== "" && a.hostId === b.hostId && lower.integrity.listensThere;
  return !isOneHost && !isTls(lower.listenUrl ?? "");
}

function isTls(url: string): boolean {
  return url.startsWith("wss:");
}
