/**
 * Several hosts of one job, each of which has a launcher of its own; torchrun calls them nodes. The launcher of host 0 keeps the hub
 * at which all ranks meet. A job of `1:4` hosts begins with one, and grows up to four: a host that comes later, or comes
 * again, has ranks that join the group that runs.
 */
import { connectHubStore } from "../../bring-up/meeting/hub-store.ts";
import { startHub } from "../../node/hub.ts";
import { nodePlatform } from "../../node/platform.ts";
import { DEFAULT_PORT } from "../../options.ts";
import type { Store } from "../../store/store.ts";
import { urlHost } from "../../support/host.ts";
import { asUsageError, hubOptions } from "../hub.ts";
import { type Flags, integerFlag, textFlag, UsageError } from "../usage.ts";
import { type LaunchedJob, rankVariables } from "./job.ts";

const EXAMPLE = "webccl run --nnodes 2 --node-rank 0 --rdzv-endpoint 10.0.0.1:29500 -n 4 script.js";
const DEFAULT_ID = "run";

/** How long the hub of a job that failed, or was stopped, waits for the ranks of other hosts, which have been told, in milliseconds. */
const ENDING_MS = 10_000;

/** How long the launcher of host 0 waits for other hosts before it says so, in milliseconds. */
const QUIET_MS = 2_000;
const WAITS = "the ranks of this host have ended; its hub stays for those of the others";

/** How a user of `webccl run` gives what a hub beyond loopback needs. */
const REMEDIES = { token: "a token in WEBCCL_TOKEN", tls: "--cert and --key", insecure: "--insecure" };

/** Where the hub of host 0 is. */
interface Endpoint {
  readonly scheme: "ws" | "wss";
  readonly host: string;
  readonly port: number;
}

/** The place of this host among them, and where they meet. */
export interface Hosts {
  /** The job begins with so many. */
  readonly first: number;
  /** It may grow to so many. */
  readonly most: number;
  /** This host's number, from 0 on. */
  readonly rank: number;
  /** Where host 0 keeps the hub; null if the hub is another one. */
  readonly endpoint: Endpoint | null;
  /** The job's name, which tells it from others at the same hub. */
  readonly id: string;
  /** The flags that are the hub's. */
  readonly flags: Flags;
}

/**
 * The hosts that the flags of `webccl run` tell; null if it is this one alone.
 * @throws UsageError if a flag is missing or wrong.
 */
export function hostsOf(flags: Flags): Hosts | null {
  const nodes = textFlag("--nnodes", flags.nnodes) ?? "1";
  const [, first, most] = /^([1-9]\d*)(?::([1-9]\d*))?$/.exec(nodes)?.map(Number) ?? [];
  const end = most || first;
  if (first === undefined || end === undefined || end < first) {
    throw new UsageError(
      `--nnodes must be a number of hosts, such as 2, or the least and the most, such as 1:4, got ${nodes}`,
    );
  }
  const endpoint = textFlag("--rdzv-endpoint", flags.rdzvEndpoint);
  const rank = integerFlag("--node-rank", flags.nodeRank, 0);
  if (flags.standalone === true && (end > 1 || endpoint !== undefined)) {
    throw new UsageError("--standalone is a job of this host alone: leave --nnodes and --rdzv-endpoint out");
  }
  if (end === 1 && endpoint === undefined) {
    const useless = ["nodeRank", "rdzvId", "cert", "key", "insecure"].find((flag) => flags[flag] !== undefined);
    if (useless && !(useless === "nodeRank" && rank === 0))
      throw new UsageError(`${dashed(useless)} goes with --nnodes: ${EXAMPLE}`);
    return null;
  }
  if (rank === undefined && end > 1)
    throw new UsageError(`--node-rank is missing, the number of this host, 0 to ${end - 1}: ${EXAMPLE}`);
  if (rank !== undefined && rank >= end)
    throw new UsageError(`--node-rank is ${rank}, and --nnodes ${nodes} allows 0 to ${end - 1}`);
  if (endpoint === undefined && flags.hub === undefined) {
    throw new UsageError(
      `--rdzv-endpoint is missing, an address of host 0 that all hosts reach, and a port: ${EXAMPLE}`,
    );
  }
  if (endpoint !== undefined && flags.hub !== undefined)
    throw new UsageError("give --rdzv-endpoint or --hub, not both");
  return {
    ...{ first, most: end, rank: rank ?? 0, id: textFlag("--rdzv-id", flags.rdzvId) ?? DEFAULT_ID, flags },
    endpoint: endpoint === undefined ? null : endpointOf(endpoint, flags.cert !== undefined, rank ?? 0),
  };
}

const dashed = (flag: string) => `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * The address that `text` gives, such as 10.0.0.1:29500 or wss://10.0.0.1:29500. Without a scheme it is wss:// on a host that has the
 * hub's certificate, else ws://.
 * @throws UsageError if it is none, or says of TLS what the flags of the host deny.
 */
function endpointOf(text: string, hasCertificate: boolean, rank: number): Endpoint {
  const [, given, rest = text] = /^(wss?):\/\/(.*)$/.exec(text) ?? [];
  const url = URL.canParse(`tcp://${rest}`) ? new URL(`tcp://${rest}`) : null;
  const host = url?.hostname.replace(/^\[|\]$/g, "") ?? "";
  const port = url?.port ? Number(url.port) : DEFAULT_PORT;
  if (host === "" || url?.pathname || url?.search || url?.hash || url?.username || port === 0) {
    throw new UsageError(
      `--rdzv-endpoint must be host:port, such as 10.0.0.1:${DEFAULT_PORT}, with wss:// before it if the hub has TLS, got ${text}`,
    );
  }
  if (given === "ws" && hasCertificate)
    throw new UsageError(`--rdzv-endpoint ${text} is without TLS, and --cert gives the hub TLS: say wss://${rest}`);
  if (given === "wss" && !hasCertificate && rank === 0)
    throw new UsageError(
      `--rdzv-endpoint ${text} is with TLS, and this host keeps the hub: give --cert and --key, or say ws://${rest}`,
    );
  const scheme = given === "wss" || (given === undefined && hasCertificate) ? "wss" : "ws";
  return { scheme, host, port };
}

/**
 * Where the `ranks` ranks of this host meet those of the others: at `hub`, or at the hub that host 0 keeps.
 * @throws UsageError if this host is to keep it and may not; TimeoutError if nothing answers there.
 */
export async function openHosts(hosts: Hosts, ranks: number, hub: string | undefined): Promise<LaunchedJob> {
  const { endpoint, id } = hosts;
  const options = { ...hubOptions(hosts.flags), host: endpoint?.host, port: endpoint?.port, remedies: REMEDIES };
  const own = endpoint && hosts.rank === 0 ? await startHub(options).catch(asUsageError) : null;
  const url = endpoint
    ? `${endpoint.scheme}://${urlHost(endpoint.host)}:${endpoint.port}/${encodeURIComponent(id)}`
    : (hub ?? "");
  const log = hosts.most > hosts.first ? await openLog(url).catch(asUsageError) : null;
  // The first time that a host of the beginning comes it begins; else it joins.
  const joins = log !== null && (hosts.rank >= hosts.first || !(await isFirst(log, hosts.rank)));
  const master = endpoint ? { MASTER_ADDR: endpoint.host, MASTER_PORT: String(endpoint.port) } : {};
  return {
    variables: (rank, restarts) => ({
      ...master,
      ...rankVariables({ ranks, rank, restarts, joins, hosts: hosts.first, host: hosts.rank, id }),
      WEBCCL_INIT_METHOD: url,
    }),
    nameOf: (rank) => (joins ? `${hosts.rank}.${rank}` : String(hosts.rank * ranks + rank)),
    async close({ failure, stoppedBy }) {
      await log?.close();
      // The hosts of a job that may grow and shrink go on without this one, and so do those of one whose ranks are not ended.
      const mayGoOn = log !== null || hosts.flags.kill === false;
      const endsSoon = stoppedBy !== null || (failure !== null && !mayGoOn);
      const say = setTimeout(() => process.stderr.write(`webccl run: ${WAITS}\n`), QUIET_MS);
      await own?.drained(id, endsSoon ? ENDING_MS : Number.POSITIVE_INFINITY);
      clearTimeout(say);
      await own?.close();
    },
  };
}

/** A store beside the job's, with the hosts that have come. It lives as long as any launcher. */
async function openLog(hub: string): Promise<Store> {
  const url = new URL(hub);
  url.pathname += "-hosts";
  return connectHubStore(nodePlatform, url.href, {});
}

async function isFirst(log: Store, host: number): Promise<boolean> {
  return (await log.add(`host ${host}`, 1)) === 1;
}
