/** The option `iceServers`, checked. Loaded where it is given. */
import { checkOptions, type OptionNames } from "../option-checks.ts";
import type { IceServer } from "./init-options.ts";

const WHERE = "initProcessGroup: iceServers";
const NAMES: OptionNames<IceServer> = { urls: true, username: true, credential: true };

/**
 * The servers, in objects of their own.
 * @throws TypeError for what is no list of servers; RangeError for an address that is none of a STUN or TURN server, or that of a
 *   TURN server without username and credential.
 */
export function iceServersOf(servers: readonly IceServer[]): IceServer[] {
  if (!Array.isArray(servers)) {
    throw new TypeError(`${WHERE} must be a list, such as [{ urls: "stun:stun.example:3478" }]`);
  }
  return servers.map((server: IceServer) => {
    checkOptions(WHERE, NAMES, server);
    const { urls, ...rest } = server;
    const all: readonly unknown[] = Array.isArray(urls) ? urls : [urls];
    if (all.length === 0) throw new TypeError(`${WHERE}: urls is an empty list`);
    for (const url of all) checkUrl(url, rest);
    for (const [name, text] of Object.entries(rest)) {
      if (typeof text !== "string") throw new TypeError(`${WHERE}: ${name} must be a string, got ${typeof text}`);
    }
    return { ...rest, urls: all as readonly string[] };
  });
}

function checkUrl(url: unknown, { username, credential }: Omit<IceServer, "urls">): void {
  if (typeof url !== "string")
    throw new TypeError(`${WHERE}: urls must be a string or a list of them, got ${typeof url}`);
  if (!/^(stun|turn)s?:[^\s/@]+$/i.test(url)) {
    throw new RangeError(
      `${WHERE}: ${JSON.stringify(url)} is no address such as "stun:host:3478" or "turns:host:5349?transport=tcp"`,
    );
  }
  if (/^turn/i.test(url) && (username === undefined || credential === undefined)) {
    throw new RangeError(`${WHERE}: ${JSON.stringify(url)} is a TURN server, which needs username and credential`);
  }
}
