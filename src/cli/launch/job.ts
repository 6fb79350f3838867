/** The meeting point of the ranks of a launch, and the environment that leads them there. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { startHub } from "../../node/hub.ts";
import { UsageError } from "../usage.ts";
import { programPage } from "./browser-page.ts";
import type { LaunchResult } from "./supervisor.ts";

/** The ranks of this host, as they are told where they belong. */
export interface LaunchedJob {
  /** What rank `rank` of this host has in its environment beside the launcher's, when it is started for the first time, or again. */
  variables(rank: number, restarts: number): NodeJS.ProcessEnv;
  /** What people call that rank: its number in the job, or `host.rank` where it has none yet. */
  nameOf(rank: number): string;
  /** Ends the hub, if the launcher opened one, after the ranks of this host have ended so. */
  close(result: LaunchResult): Promise<void>;
}

/** Where a rank belongs. */
interface Place {
  /** Ranks of each host. */
  readonly ranks: number;
  /** The rank's number on its host. */
  readonly rank: number;
  /** How many ranks of this host have been started again. */
  readonly restarts: number;
  /** It joins a group that runs. */
  readonly joins: boolean;
  readonly hosts: number;
  readonly host: number;
  readonly id: string;
}

/** The variables that torchrun sets; "role" is its word for the kind of a rank, of which there is one. A rank that joins has no number yet. */
export function rankVariables({ ranks, rank, restarts, joins, hosts, host, id }: Place): NodeJS.ProcessEnv {
  const number = joins ? undefined : String(host * ranks + rank);
  const size = joins ? undefined : String(hosts * ranks);
  return {
    ...{ RANK: number, WORLD_SIZE: size, ROLE_RANK: number, ROLE_WORLD_SIZE: size, ROLE_NAME: "default" },
    ...{ LOCAL_RANK: String(rank), LOCAL_WORLD_SIZE: String(ranks) },
    ...{ GROUP_RANK: String(host), GROUP_WORLD_SIZE: String(hosts) },
    ...{ TORCHELASTIC_RUN_ID: id, TORCHELASTIC_RESTART_COUNT: String(restarts) },
    ...(joins || restarts > 0 ? { WEBCCL_JOIN: "1" } : {}),
  };
}

/**
 * Where the ranks of a job of this host alone meet: at `hub`, at a hub here that serves the program to browsers, or in rank 0. The
 * token is in the environment and never in an argument list, which all users can read.
 */
export async function openJob(ranks: number, hub: string | undefined, inBrowsers: string | null): Promise<LaunchedJob> {
  if (hub !== undefined && inBrowsers !== null) {
    throw new UsageError("--browsers meet at a hub that run starts itself: leave --hub out");
  }
  const { meeting, close } = await meetingOf(hub, inBrowsers);
  return {
    variables: (rank, restarts) => ({
      ...rankVariables({ ranks, rank, restarts, joins: false, hosts: 1, host: 0, id: "run" }),
      ...meeting,
    }),
    nameOf: String,
    close,
  };
}

async function meetingOf(
  hub: string | undefined,
  inBrowsers: string | null,
): Promise<{ meeting: NodeJS.ProcessEnv; close(): Promise<void> }> {
  if (hub !== undefined) return { meeting: { WEBCCL_INIT_METHOD: hub }, close: async () => {} };
  const token = process.env.WEBCCL_TOKEN ?? randomBytes(32).toString("hex");
  if (inBrowsers !== null) {
    const server = await startHub({ port: 0, token, sameOrigin: true, onRequest: await programPage(inBrowsers) });
    const meeting = { WEBCCL_INIT_METHOD: `${server.url}/run`, WEBCCL_TOKEN: token };
    return { meeting, close: () => server.close() };
  }
  const address = { MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(await freePort()) };
  return { meeting: { ...address, WEBCCL_TOKEN: token }, close: async () => {} };
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen({ port: 0, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? found(address.port) : failed(new Error("no port"))));
    });
  });
}
