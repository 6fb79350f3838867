/** Why a page's WebSocket did not open. Loaded when one has not. */
import { AdmissionError } from "../errors.ts";
import { isLoopback } from "../support/host.ts";

/**
 * The refusal of a hub that is at `url`, or null if nothing is there. Scripts are not told why a WebSocket fails, so the address
 * is asked once more over HTTP, where an answer shows at least that something is there.
 */
export async function whyNotIn(url: string): Promise<AdmissionError | null> {
  const answers = await fetch(url.replace(/^ws/, "http"), { mode: "no-cors", cache: "no-store" }).then(
    () => true,
    () => false,
  );
  if (!answers) return null;
  const { hostname } = new URL(url);
  const text = `${url} is there but lets this page not in: start the hub with --origin ${location.origin}`;
  return new AdmissionError(isLoopback(hostname) ? text : `${text} --allow-host ${hostname}`);
}

/** The error of a page that its browser keeps from `url`. */
export function blocked(url: string, cause: unknown): AdmissionError {
  const text = `this page may not open ${url}: a page that came over https joins by wss:// only (webccl hub --cert --key)`;
  return new AdmissionError(text, { cause });
}
