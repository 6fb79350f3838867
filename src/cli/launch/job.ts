/** The meeting point of the ranks of a launch, and the environment that leads them there. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { startHub } from "../../node/hub.ts";
import { UsageError } from "../usage.ts";
import { programPage } from "./browser-page.ts";

/** The environment of every rank; `close` ends the hub, if the launcher opened one. */
export interface LaunchedJob {
  environment: NodeJS.ProcessEnv;
  close(): Promise<void>;
}

/**
 * Where the ranks meet: at `hub`, at a hub here that serves the program to browsers, or in rank 0. The token is in the environment and
 * never in an argument list, which all users can read.
 */
export async function openJob(ranks: number, hub: string | undefined, inBrowsers: string | null): Promise<LaunchedJob> {
  const token = process.env.WEBCCL_TOKEN ?? randomBytes(32).toString("hex");
  const size = { ...process.env, WORLD_SIZE: String(ranks), LOCAL_WORLD_SIZE: String(ranks) };
  if (hub !== undefined && inBrowsers !== null) {
    throw new UsageError("--browsers meet at a hub that run starts itself: leave --hub out");
  }
  if (hub !== undefined) return { environment: { ...size, WEBCCL_INIT_METHOD: hub }, close: async () => {} };
  if (inBrowsers !== null) {
    const server = await startHub({ port: 0, token, sameOrigin: true, onRequest: await programPage(inBrowsers) });
    const environment = { ...size, WEBCCL_INIT_METHOD: `${server.url}/run`, WEBCCL_TOKEN: token };
    return { environment, close: () => server.close() };
  }
  const address = { MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(await freePort()) };
  return { environment: { ...size, ...address, WEBCCL_TOKEN: token }, close: async () => {} };
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
