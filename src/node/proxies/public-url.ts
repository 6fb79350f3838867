/** The address of a server as others see it, where a proxy stands before it. */

/** A public address, in the forms in which it is needed. */
export interface PublicUrl {
  /** "wss://example.org/hub", without a slash at its end: a group's name follows one. */
  readonly ws: string;
  /** "https://example.org/hub/". */
  readonly http: string;
  /** The Host that a proxy passes on, without a port. */
  readonly host: string;
  /** The Origin of pages that come from there. */
  readonly origin: string;
}

/**
 * The public address that `text` is, by ws, wss, http or https.
 * @throws RangeError if it is none.
 */
export function publicUrlOf(text: string): PublicUrl {
  const url = URL.canParse(text) ? new URL(text) : null;
  const [, secure] = /^(?:ws|http)(s?):$/.exec(url?.protocol ?? "") ?? [];
  if (!url || secure === undefined || url.search || url.hash || url.username || url.password) {
    throw new RangeError(`"${text}" is no public address such as wss://hub.example.org or https://example.org/hub/`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  return {
    ws: `ws${secure}://${url.host}${path}`,
    http: `http${secure}://${url.host}${path}/`,
    host: url.hostname,
    origin: `http${secure}://${url.host}`,
  };
}
