/** `webccl hub`: a hub of its own, until a signal ends it. */
import { existsSync, readFileSync } from "node:fs";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import { readToken, startHub } from "../node/hub.ts";
import { DEFAULT_PORT } from "../options.ts";
import { openWatch } from "./hub-watch.ts";
import { quotaOptions } from "./quota-flags.ts";
import { type Flags, type FlagValue, portFlag, textFlag, UsageError } from "./usage.ts";

/** Serves until SIGINT or SIGTERM, and returns the exit code. Prints the address and how to join there, never the token. */
export async function hub(flags: Flags): Promise<number> {
  const stopped = nextSignal(["SIGINT", "SIGTERM"]);
  const bounds = quotaOptions(flags);
  checkBounds(bounds);
  const options = { ...hubOptions(flags), ...bounds };
  const watch = await openWatch(flags);
  const server = await startHub({ ...options, onEvent: watch.onEvent }).catch(asUsageError);
  try {
    const figures = await watch.listen(server, options.allowHosts).catch(asUsageError);
    process.stdout.write(`${server.url}\n${howToJoin(server.url, options)}`);
    if (server.listensAt !== server.url)
      process.stdout.write(`  proxy    passes on what it gets to ${server.listensAt}\n`);
    if (figures) process.stdout.write(`  metrics  ${figures}/metrics, and ${figures}/healthz\n`);
    // Members hear why they lose their hub.
    await server.close(`the hub was ended by ${await stopped}`);
  } catch (error) {
    await server.close();
    throw error;
  } finally {
    watch.close();
  }
  return 0;
}

/** @throws UsageError if a rank could not send the largest message. */
function checkBounds({ maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES, maxRankBytes }: ReturnType<typeof quotaOptions>) {
  if (maxRankBytes === undefined || maxRankBytes >= maxMessageBytes) return;
  throw new UsageError(
    `--max-rank-bytes ${maxRankBytes} has no room for one message: give at least --max-message-bytes, ${maxMessageBytes}`,
  );
}

/** What a program and a page need to join. `my-group` is any name: ranks that give the same one form a group. */
function howToJoin(url: string, { token, origins = [] }: Parameters<typeof startHub>[0]): string {
  const group = `${url}/my-group`;
  const needed = token !== undefined;
  return [
    `  token    ${needed ? "needed: ranks take it from WEBCCL_TOKEN, or from the option token" : "none: whoever reaches this address may join"}`,
    `  program  webccl run -n 2 --hub ${group} program.js`,
    `  rank     initProcessGroup({ initMethod: "${group}", worldSize: 2${needed ? ", token" : ""} })`,
    `  pages    ${origins.length > 0 ? `those of ${origins.join(", ")}` : "none: --origin https://example.org lets its pages in"}`,
    "",
  ].join("\n");
}

/**
 * The options that the flags and WEBCCL_TOKEN give.
 * @throws UsageError if a file is missing, or --cert and --key are not both there.
 */
export function hubOptions(flags: Flags): Parameters<typeof startHub>[0] {
  const tokenFile = textFlag("--token-file", flags.tokenFile);
  const cert = textFlag("--cert", flags.cert);
  const key = textFlag("--key", flags.key);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--cert and --key go together");
  if (tokenFile !== undefined) mustExist("--token-file", tokenFile);
  return {
    host: textFlag("--host", flags.host),
    port: portFlag("--port", flags.port) ?? DEFAULT_PORT,
    token: readToken({ tokenFile, token: tokenFile === undefined ? process.env.WEBCCL_TOKEN : undefined }),
    origins: list(flags.origin),
    allowHosts: list(flags.allowHost),
    publicUrl: textFlag("--public-url", flags.publicUrl),
    trustProxy: list(flags.trustProxy).flatMap((entry) => (entry === "true" ? "loopback" : entry.split(","))),
    tls: cert === undefined || key === undefined ? undefined : { cert: pem("--cert", cert), key: pem("--key", key) },
    insecure: flags.insecure === true,
    remedies: { token: "--token-file or WEBCCL_TOKEN", tls: "--cert and --key", insecure: "--insecure" },
  };
}

/** A hub that cannot be opened as asked is the caller's to mend. */
export function asUsageError(error: unknown): never {
  if (error instanceof RangeError || error instanceof TypeError) throw new UsageError(error.message);
  throw error;
}

/** Resolves with the first of `signals` that comes; a second one then ends the process as usual. */
export function nextSignal(signals: readonly NodeJS.Signals[]): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (first: NodeJS.Signals) => {
      for (const signal of signals) process.off(signal, stop);
      resolve(first);
    };
    for (const signal of signals) process.on(signal, stop);
  });
}

function list(value: FlagValue): string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

function mustExist(flag: string, file: string): void {
  if (!existsSync(file)) throw new UsageError(`${flag}: no such file: ${file}`);
}

function pem(flag: string, file: string): string {
  mustExist(flag, file);
  return readFileSync(file, "utf8");
}
