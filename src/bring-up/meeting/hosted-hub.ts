/**
 * Hosted hub: the hub of `env://` and `tcp://`, which rank 0 hosts. Loaded where ranks meet there. Without token and TLS its port is a
 * TCPStore of PyTorch, too, whose keys are those of `group.store`.
 */
import { DEFAULT_PORT } from "../../options.ts";
import type { HubHandle, Platform } from "../../platform.ts";
import { bareHost, urlHost } from "../../support/host.ts";
import { BIND_REMEDIES } from "../bind-remedies.ts";
import type { Cleanup } from "../cleanup.ts";
import { type Settings, wholeVariable } from "../init-options.ts";
import { storePrefixOf } from "../job.ts";

/** Where the hub is, and its handle on rank 0, which starts it. */
export async function hubAtRank0(
  platform: Platform,
  settings: Settings,
  undo: Cleanup,
): Promise<{ url: string; hosted: HubHandle | null }> {
  const { method, rank, listen } = settings;
  const address = method.protocol === "env:" ? masterAddress(platform) : tcpAddress(method);
  const hosted = rank === 0 ? await host(platform, settings, address, undo) : null;
  const scheme = listen.tls ? "wss" : "ws";
  return { url: hosted?.url ?? `${scheme}://${urlHost(address.host)}:${address.port}`, hosted };
}

/** Starts the hub of this rank. */
async function host(
  platform: Platform,
  { token, ticket, listen: { tls, insecure = false }, logger, peerTimeoutMs, groupName, worldSize }: Settings,
  address: { host: string; port: number },
  undo: Cleanup,
): Promise<HubHandle> {
  if (ticket !== undefined && token === undefined) {
    throw new RangeError("rank 0 hosts the hub, which needs the token: a ticket is for the other ranks");
  }
  const globalRanks = Array.from({ length: worldSize }, (_, rank) => rank);
  const hub = await platform.startHub({
    ...address,
    tcpStore: { group: groupName, prefix: `${storePrefixOf({ name: groupName, globalRanks })}/` },
    hostRank: 0,
    insecure,
    remedies: BIND_REMEDIES,
    silenceMs: peerTimeoutMs,
    logger,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  });
  undo.push(() => hub.close());
  return hub;
}

/** A host, without brackets, and a port of it. */
interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * The address of env://, which rank 0 hosts.
 * @throws RangeError if MASTER_ADDR or MASTER_PORT is none.
 */
function masterAddress(platform: Platform): Address {
  const host = platform.env("MASTER_ADDR") || "127.0.0.1";
  const port = wholeVariable(platform, "MASTER_PORT") ?? DEFAULT_PORT;
  return addressOf(host, port, `the environment variable MASTER_ADDR is "${host}"`, "MASTER_PORT");
}

/**
 * The address of tcp://, which rank 0 hosts.
 * @throws RangeError if it is none.
 */
function tcpAddress(method: URL): Address {
  const { hostname, port, href } = method;
  const where = `initMethod is "${href}"`;
  return addressOf(hostname || "127.0.0.1", port === "" ? DEFAULT_PORT : Number(port), where, `the port of ${href}`);
}

function addressOf(host: string, port: number, where: string, portName: string): Address {
  if (!URL.canParse(`ws://${urlHost(host)}`)) {
    throw new RangeError(
      `${where}: a host name or an address is needed, such as 127.0.0.1, [::1] or node0.example.org`,
    );
  }
  if (port < 1 || port > 65_535) {
    throw new RangeError(
      `${portName} is ${port}: all ranks must know the port at which rank 0 hosts the hub, so it is one from 1 to 65535` +
        (port === 0 ? "; webccl run finds a free one by itself" : ""),
    );
  }
  return { host: bareHost(host), port };
}
