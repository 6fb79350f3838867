/** Why a page's WebSocket did not open. Loaded when one has not. */
import { AdmissionError } from "../errors.ts";
import { NotThere } from "../link/websocket/connect.ts";
import { RetryableRefusal } from "../link/websocket/introduce.ts";
import { isLoopback } from "../support/host.ts";

/**
 * What is at `url`. Scripts are not told why a WebSocket fails, so the address is asked once more over HTTP, with the query
 * that a hub answers to every page (node/websocket-server.ts). A page may not read what anything else answers, but that it does.
 */
export async function whyNotIn(url: string): Promise<AdmissionError | NotThere> {
  const address = `${url.replace(/^ws/, "http")}?why-not=${encodeURIComponent(location.origin)}`;
  const answer = await fetch(address, { cache: "no-store" }).catch(() => null);
  const isHub = answer?.headers.get("content-type")?.startsWith("text/plain");
  if (isHub && answer?.status === 403) return notLetIn(url);
  const answers =
    answer ??
    (await fetch(address, { mode: "no-cors", cache: "no-store" }).then(
      () => true,
      () => false,
    ));
  if (!answers) return new NotThere(NOT_THERE);
  const there = isHub && answer?.ok ? "the hub there lets this page in" : "what answers there over HTTP is no hub";
  return new RetryableRefusal(`${url} did not open, and ${there}: ${PROXY}`);
}

const NOT_THERE = "the connection failed, or this page's content security policy does not name it in connect-src";
const PROXY = "if a proxy is between, its hub may be down, or it does not pass WebSockets on";

function notLetIn(url: string): AdmissionError {
  const { hostname } = new URL(url);
  const text = `${url} is there but lets this page not in: start the hub with --origin ${location.origin}`;
  return new AdmissionError(isLoopback(hostname) ? text : `${text} --allow-host ${hostname}`);
}

/** The error of a page that its browser keeps from `url`. */
export function blocked(url: string, cause: unknown): AdmissionError {
  const text = `this page may not open ${url}: a page that came over https joins by wss:// only (webccl hub --cert --key)`;
  return new AdmissionError(text, { cause });
}
