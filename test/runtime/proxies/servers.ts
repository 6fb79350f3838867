/** nginx and Caddy with the configuration that docs/hosts has for them, as it is but for names, ports and files. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { poll } from "../engines/poll.ts";

/** Where a proxy listens, and to which it passes on what it gets. */
export interface Places {
  /** With cert.pem, key.pem, and page/, whose files the second server has. */
  readonly folder: string;
  /** Ports of TLS: of the hub's own name, and of the server that has it under /hub/. */
  readonly ports: readonly [root: number, path: number];
  readonly hubs: readonly [root: number, path: number];
  /** Seconds after which nginx ends a connection on which one side is silent. Default: its own, 60. */
  readonly silenceSeconds?: number;
}

type Replacement = readonly [from: string, to: string];

/** A file of docs/hosts in which each text is replaced, in the order in which they stand there. */
function configured(name: string, replacements: readonly Replacement[]): string {
  const file = fileURLToPath(new URL(`../../../docs/hosts/${name}`, import.meta.url));
  let done = "";
  let rest = readFileSync(file, "utf8").replace(/^\s*#.*\n/gm, "");
  for (const [from, to] of replacements) {
    const at = rest.indexOf(from);
    if (at < 0) throw new Error(`docs/hosts/${name} has no ${from} where one is expected`);
    done += rest.slice(0, at) + to;
    rest = rest.slice(at + from.length);
  }
  return done + rest;
}

function nginx({ folder, ports, hubs, silenceSeconds = 60 }: Places): ChildProcess {
  const names = ["hub.example.org", "www.example.org"] as const;
  const ofServer = (index: 0 | 1): Replacement[] => [
    ["listen 443", `listen 127.0.0.1:${ports[index]}`],
    [`server_name ${names[index]}`, "server_name localhost"],
    [`/etc/ssl/${names[index]}.pem`, join(folder, "cert.pem")],
    [`/etc/ssl/${names[index]}.key`, join(folder, "key.pem")],
    ...(index === 1 ? ([["/var/www", join(folder, "page")]] as const) : []),
    ["127.0.0.1:29500", `127.0.0.1:${hubs[index]}`],
  ];
  const servers = configured("nginx.conf", [...ofServer(0), ...ofServer(1)]);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path temporary;`);
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid nginx.pid; error_log stderr; ${process.getuid?.() === 0 ? "user root;" : ""} events {}
    http { access_log off; proxy_read_timeout ${silenceSeconds}s; proxy_send_timeout ${silenceSeconds}s; ${temporary.join(" ")} types { text/html html; text/javascript js; } ${servers} }`,
  );
  return spawn("nginx", ["-p", folder, "-c", "nginx.conf"], { stdio: ["ignore", "inherit", "inherit"] });
}

function caddy({ folder, ports, hubs }: Places): ChildProcess {
  const tls = `tls ${join(folder, "cert.pem")} ${join(folder, "key.pem")}`;
  const sites = configured("Caddyfile", [
    ["hub.example.org {", `https://localhost:${ports[0]} {\n${tls}`],
    ["127.0.0.1:29500", `127.0.0.1:${hubs[0]}`],
    ["www.example.org {", `https://localhost:${ports[1]} {\n${tls}`],
    ["127.0.0.1:29500", `127.0.0.1:${hubs[1]}`],
    ["/var/www", join(folder, "page")],
  ]);
  const home = join(folder, "home");
  mkdirSync(home);
  writeFileSync(
    join(folder, "Caddyfile"),
    `{\nadmin off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel ERROR\n}\n}\n${sites}`,
  );
  return spawn("caddy", ["run", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile")], {
    env: { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** How each is started, by name. */
const PROXIES = { nginx, caddy } as const;

export type ProxyName = keyof typeof PROXIES;
export const PROXY_NAMES = Object.keys(PROXIES) as ProxyName[];

/** Starts one; resolves with how to end it once it listens. */
export async function startProxy(name: ProxyName, places: Places): Promise<() => Promise<void>> {
  const child = PROXIES[name](places);
  const ended = once(child, "close");
  const listens = async (port: number) => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
  };
  for (const port of places.ports) await poll(() => listens(port), 20_000);
  return async () => {
    child.kill();
    await ended;
  };
}
