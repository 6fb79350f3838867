/** Hosts for tests that are joined by a switch: network namespaces of Linux, each with a cable to a bridge in one more. */
import { complaintOf, type Host, ip } from "./hosts.ts";

/** A network, and the way to end it. */
export interface Network {
  readonly hosts: readonly Host[];
  /** Narrows the cable of a host, both ways, with a queue that holds what comes too fast for up to 200 ms. */
  narrow(host: number, mbitPerSecond: number): void;
  end(): void;
}

/**
 * Makes it.
 * @throws Error where this user may make no network namespace.
 */
export function makeNetwork(count: number): Network {
  const nameOf = (host: number | "switch") => `webccl-${process.pid}-${host}`;
  const names = Array.from({ length: count }, (_, host) => nameOf(host));
  const middle = nameOf("switch");
  const end = () => {
    for (const name of [...names, middle]) ip("netns", "delete", name);
  };
  const first = ip("netns", "add", middle);
  if (first) throw new Error(`hosts need network namespaces, and this user can make none; run as root: ${first}`);
  const errors = [
    ip("-n", middle, "link", "add", "bridge", "type", "bridge"),
    ip("-n", middle, "link", "set", "bridge", "up"),
    ...names.flatMap((name, i) => [
      ip("netns", "add", name),
      ip("link", "add", "cable", "netns", name, "type", "veth", "peer", "name", `port${i}`, "netns", middle),
      ip("-n", middle, "link", "set", `port${i}`, "master", "bridge", "up"),
      ip("-n", name, "address", "add", `10.78.0.${i + 1}/24`, "dev", "cable"),
      ip("-n", name, "link", "set", "lo", "up"),
      ip("-n", name, "link", "set", "cable", "up"),
      ip("-n", name, "route", "add", "default", "dev", "cable"),
    ]),
  ];
  const error = errors.find((text) => text !== "");
  if (error) {
    end();
    throw new Error(`no network namespaces: ${error}`);
  }
  return {
    hosts: names.map((name, i) => ({
      address: `10.78.0.${i + 1}`,
      command: (command, args) => ["nsenter", [`--net=/run/netns/${name}`, command, ...args]],
    })),
    narrow: (host, mbit) => {
      const ends = [
        [names[host]!, "cable"],
        [middle, `port${host}`],
      ] as const;
      for (const [name, device] of ends) {
        const args = ["root", "tbf", "rate", `${mbit}mbit`, "burst", "64kb", "latency", "200ms"];
        const complaint = tc(name, "qdisc", "replace", "dev", device, ...args);
        if (complaint) throw new Error(`the cable does not get narrow: ${complaint}`);
      }
    },
    end,
  };
}

/** What `tc` complained about in a namespace; "" if it did not. */
function tc(name: string, ...args: string[]): string {
  return complaintOf("tc", "-n", name, ...args);
}
