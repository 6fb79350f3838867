/** Names and addresses of hosts, in the forms in which they are written: `::1` by itself, `[::1]` where a port may follow. */

/** A host as it stands in a URL. */
export function urlHost(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** A host as it stands by itself. */
export function bareHost(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

/** Is this a name or an address, in any spelling, that every machine has for itself alone? Other names may resolve so too. */
export function isLoopback(host: string): boolean {
  const url = `http://${urlHost(host)}`;
  if (!URL.canParse(url)) return false;
  // 127.0.0.0/8, in IPv6 also as ::ffff:7f00:0/104.
  const { hostname } = new URL(url);
  return /^(localhost|.+\.localhost|\[::1\]|127\.\d+\.\d+\.\d+|\[::ffff:7f[\da-f]{2}:[\da-f]+\])$/.test(hostname);
}

/** The origin of pages as browsers send it, of a text such as "https://example.org/"; null if it is none. */
export function originOf(text: string): string | null {
  if (typeof text !== "string" || !URL.canParse(text)) return null;
  const { protocol, host, pathname } = new URL(text);
  const hasMore = /[?#@]/.test(text) || (pathname !== "/" && pathname !== "");
  return host !== "" && !hasMore ? `${protocol}//${host}` : null;
}

/** A host's name as a browser puts it into the header Host, without the port; null if `text` is none, or has more than a name. */
export function hostNameOf(text: string): string | null {
  if (typeof text !== "string" || !/^[^\s/?#@\\]+$/.test(text)) return null;
  const url = `http://${urlHost(text)}`;
  return URL.canParse(url) && new URL(url).port === "" ? new URL(url).hostname : null;
}
