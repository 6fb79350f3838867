/** Two hosts for tests: network namespaces of Linux that are joined by a virtual cable. */
import { spawnSync } from "node:child_process";

/** A host: how a command is started on it, and its address. */
export interface Host {
  readonly address: string;
  readonly command: (command: string, args: readonly string[]) => [command: string, args: string[]];
}

/** Two hosts, and the way to end them. */
export interface Hosts {
  readonly hosts: readonly [Host, Host];
  /** Are they apart, as two machines are? */
  readonly areApart: boolean;
  /** Takes the cable between them down, or up again. Only where they are apart. */
  setCable(state: "up" | "down"): void;
  end(): void;
}

/**
 * Makes them. Where this user may make no network namespace, they are two addresses of this host's loopback.
 * @throws Error that `ip` gave, for another reason.
 */
export function makeHosts(): Hosts {
  const names = [`webccl-${process.pid}-a`, `webccl-${process.pid}-b`] as const;
  const cables = [`wc${process.pid}a`, `wc${process.pid}b`] as const;
  const end = () => {
    for (const name of names) spawnSync("ip", ["netns", "delete", name]);
  };
  const first = ip("netns", "add", names[0]);
  if (/not permitted|denied|read-only/i.test(first)) {
    const hosts = ["127.0.0.2", "127.0.0.3"].map((address) => ({ address, command: sameHost }));
    const setCable = () => {
      throw new Error("there is no cable: this user may make no network namespace");
    };
    return { hosts: hosts as [Host, Host], areApart: false, setCable, end: () => {} };
  }
  const errors = [
    first,
    ip("netns", "add", names[1]),
    ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1]),
    ...names.flatMap((name, i) => [
      ip("-n", name, "address", "add", `10.77.0.${i + 1}/24`, "dev", cables[i]!),
      ip("-n", name, "link", "set", "lo", "up"),
      ip("-n", name, "link", "set", cables[i]!, "up"),
    ]),
  ];
  const error = errors.find((text) => text !== "");
  if (error) {
    end();
    throw new Error(`no network namespaces: ${error}`);
  }
  const hostOf = (i: 0 | 1): Host => ({
    address: `10.77.0.${i + 1}`,
    // `ip netns exec` would give every process file systems of its own, as no two processes of one host have.
    command: (command, args) => ["nsenter", [`--net=/run/netns/${names[i]}`, command, ...args]],
  });
  const setCable = (state: "up" | "down") => {
    const complaint = ip("-n", names[0], "link", "set", cables[0], state);
    if (complaint) throw new Error(`the cable does not go ${state}: ${complaint}`);
  };
  return { hosts: [hostOf(0), hostOf(1)], areApart: true, setCable, end };
}

const sameHost: Host["command"] = (command, args) => [command, [...args]];

/** What `ip` complained about; "" if it did not. */
export function ip(...args: string[]): string {
  return complaintOf("ip", ...args);
}

/** What a command of iproute2 complained about; "" if it did not. */
export function complaintOf(command: "ip" | "tc", ...args: string[]): string {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error) return error.message;
  return status === 0 ? "" : stderr || `${command} ${args.join(" ")} ended with ${status}`;
}
