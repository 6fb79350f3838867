/** Hub store: a client of a store at a hub, beside any group. Loaded where one is opened. */
import { HubConnection } from "../../link/hub/connection.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { DEFAULT_TIMEOUT_MS } from "../../options.ts";
import type { Platform } from "../../platform.ts";
import { HubStore } from "../../store/hub-store.ts";
import { timeLimitOf } from "../../support/timeouts.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import { checkGroupName, MAX_WORLD_SIZE } from "../../wire/handshake.ts";
import { placeAtHub } from "../init-options.ts";
import { hubHasChecksums } from "../integrity.ts";

/** Options of `HubStore.connect`. */
export interface HubStoreOptions {
  /** The hub's token. Default: WEBCCL_TOKEN. */
  token?: string;
  /** Lets in once without the token: a text that `mintTicket` made with the role "store". */
  ticket?: string;
  /** Milliseconds for connecting, and the `timeoutMs` of the store; 0 or Infinity for no timeout. Default: 300,000. */
  timeoutMs?: number;
  /** Ends the connecting. */
  signal?: AbortSignal;
}

const HUB_STORE_OPTIONS: OptionNames<HubStoreOptions> = { token: true, ticket: true, timeoutMs: true, signal: true };

/** `HubStore.connect` on one platform. */
export async function connectHubStore(platform: Platform, url: string, options: HubStoreOptions): Promise<HubStore> {
  checkOptions("HubStore.connect", HUB_STORE_OPTIONS, options);
  const { ticket, token = platform.env("WEBCCL_TOKEN"), timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const limitMs = timeLimitOf(timeoutMs, "HubStore.connect: timeoutMs");
  const { hub: address, name } = placeOf(url);
  const checksums = hubHasChecksums("auto", address);
  const sums = checksums ? new FrameSums(await openChecksums()) : null;
  // Clients of a store have numbers as ranks have, the lowest that is free.
  const hello = { group: name, rank: null, worldSize: MAX_WORLD_SIZE, purpose: "store" as const, checksums };
  const { socket, welcome } = await platform.connect(address, hello, { token, ticket, timeoutMs: limitMs, signal });
  const hub = new HubConnection(socket, welcome, address, sums);
  const nothing = () => {};
  hub.start({
    ...{ onFrame: nothing, onFold: nothing, onDamaged: nothing, onLost: nothing, onLeft: nothing, onClosed: nothing },
  });
  const store = new HubStore(hub, () => {
    hub.goodbye();
    hub.close();
  });
  store.timeoutMs = limitMs;
  return store;
}

/** The hub and the store's name that an address tells. */
function placeOf(url: string): { hub: string; name: string } {
  const wanted = "a hub's address is needed, such as ws://host:port/name";
  if (typeof url !== "string")
    throw new TypeError(`HubStore.connect: url must be a string, got ${typeof url}: ${wanted}`);
  if (!URL.canParse(url) || !/^wss?:$/.test(new URL(url).protocol)) {
    throw new RangeError(`HubStore.connect: url is "${url}": ${wanted}`);
  }
  const { search, username, password } = new URL(url);
  if (search !== "" || username !== "" || password !== "") {
    throw new TypeError("HubStore.connect: url has a query or a user: give the token as an option");
  }
  const { hub, name } = placeAtHub(new URL(url), "HubStore.connect: url");
  checkGroupName(name || "default", "HubStore.connect: the store's name in url");
  return { hub, name: name || "default" };
}

async function openChecksums() {
  return (await import("../../executor/checksum/checksums.ts")).loadChecksums(null);
}
