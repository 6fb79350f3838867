/** `webccl hub` and `webccl demo`: their flags, of which hub has a few more. */
import type { CAC } from "cac";
import { QUOTA_FLAGS } from "../quota-flags.ts";
import type { Flags } from "../usage.ts";

/** Adds both commands to `cli`. */
export function serveCommands(cli: CAC): void {
  const hub = serveCommand(cli, "hub", "Serve a hub, at which ranks of several hosts and browsers meet")
    .option("--log", "One line of JSON on stderr for each join, departure, eviction and refusal")
    .option("--metrics-port <number>", "Serve /healthz and /metrics (Prometheus) there; 0 picks a free one")
    .option("--metrics-host <address>", "Interface of that port, 127.0.0.1 if absent");
  for (const { flag, unit, description } of QUOTA_FLAGS) {
    hub.option(`${flag} <${unit === "bytes" ? "size" : "number"}>`, description);
  }
  hub.action(async (flags: Flags) => (await import("../hub.ts")).hub(flags));
  serveCommand(cli, "demo", "Serve a page: every tab that opens it becomes a rank").action(async (flags: Flags) =>
    (await import("../demo.ts")).demo(flags),
  );
}

const serveCommand = (cli: CAC, name: string, description: string) =>
  cli
    .command(name, description)
    .option("--host <address>", "Interface to bind, 127.0.0.1 if absent")
    .option("--port <number>", "29500 if absent; 0 picks a free one")
    .option("--token-file <file>", "File with the group's secret; else WEBCCL_TOKEN")
    .option("--origin <url>", "Let pages of this origin in (repeatable)")
    .option("--allow-host <name>", "Accept this Host header (repeatable)")
    .option("--public-url <url>", "Address under which others reach this, behind a proxy with TLS")
    .option("--trust-proxy [list]", "Proxies that name their clients: addresses, networks, or loopback (if absent)")
    .option("--cert <file>", "TLS certificate, PEM")
    .option("--key <file>", "TLS key, PEM")
    .option("--insecure", "Allow a bind beyond loopback without token and TLS");
