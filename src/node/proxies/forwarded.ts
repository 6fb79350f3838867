/**
 * For whom proxies say that they forward a request. Each proxy adds, at the end, the address from which the request came to
 * it; so the last hop was written by the proxy that this server speaks to, and the first ones by whoever began the request.
 */
import type { IncomingHttpHeaders } from "node:http";

/** Headers that proxies set, and programs and browsers do not. */
const OF_PROXIES = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "via",
] as const;

/** Did a proxy forward this request, or does somebody say so? */
export function isForwarded(headers: IncomingHttpHeaders): boolean {
  return OF_PROXIES.some((name) => headers[name] !== undefined);
}

/** The hops of X-Forwarded-For, as they are written. */
export function hopsOfList(header: string): string[] {
  return header.split(",").map((hop) => hop.trim());
}

const TOKEN = /[\w!#$%&'*+.^`|~-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BETWEEN = /[ \t]*([;,]?)[ \t]*/y;

/**
 * The hops of Forwarded (RFC 7239): the `for` of each element, "" of one that has none. Null if the header is not as that
 * document says. Then no part of it is believed: a quote that somebody opened may hide all that proxies have added behind it.
 */
export function hopsOfForwarded(header: string): string[] | null {
  let at = 0;
  const take = (form: RegExp): RegExpExecArray | null => {
    form.lastIndex = at;
    const found = form.exec(header);
    if (found) at = form.lastIndex;
    return found;
  };
  const hops: string[] = [""];
  take(/[ \t]*/y);
  while (at < header.length) {
    const name = take(TOKEN)?.[0].toLowerCase();
    if (name !== undefined) {
      if (!take(/=/y)) return null;
      const quoted = take(QUOTED);
      const value = quoted ? quoted[1]?.replace(/\\(.)/g, "$1") : take(TOKEN)?.[0];
      if (value === undefined) return null;
      // A second one in an element says that the first is not true.
      if (name === "for") hops[hops.length - 1] = hops.at(-1) === "" ? value : "unknown";
    }
    const end = take(BETWEEN)?.[1];
    if (end === ",") hops.push("");
    else if (end !== ";" && at < header.length) return null;
  }
  return hops;
}
