/** Ranks of several hosts, started as README.md says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { type Hosts, makeHosts } from "./hosts/hosts.ts";

const PROGRAM = fileURLToPath(new URL("./hosts/rank.mjs", import.meta.url));
let made: Hosts;
beforeAll(() => {
  made = makeHosts();
});
afterAll(() => made.end());

interface Said {
  sum?: number;
  links?: string[];
  error?: string;
}

/** Starts a rank for each entry of `hostOf`, on that host; resolves with what each said. */
async function run(hostOf: readonly (0 | 1)[], listen: (address: string) => object, token = "secret"): Promise<Said[]> {
  const port = await freePort();
  return Promise.all(
    hostOf.map(async (index, rank) => {
      const host = made.hosts[index];
      const child = spawn(...host.command(process.execPath, [PROGRAM]), {
        env: {
          ...process.env,
          ...{ RANK: `${rank}`, WORLD_SIZE: `${hostOf.length}`, WEBCCL_TOKEN: token },
          ...{
            MASTER_ADDR: made.hosts[0].address,
            MASTER_PORT: `${port}`,
            LISTEN: JSON.stringify(listen(host.address)),
          },
          // Two addresses of one host would map memory.
          ...(made.areApart ? {} : { TRANSPORT: "websocket" }),
        },
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout!.on("data", (chunk) => {
        said += chunk;
      });
      await once(child, "close");
      return JSON.parse(said) as Said;
    }),
  );
}

describe("two hosts", () => {
  it("have direct links between them, and memory in common within each", { timeout: 60_000 }, async () => {
    const said = await run([0, 0, 1, 1], (host) => ({ host, insecure: true }));
    const near = made.areApart ? "mapped-memory" : "websocket";
    const linkOf = (rank: number, other: number) => (rank >> 1 === other >> 1 ? near : "websocket");
    expect(said).toEqual(
      [0, 1, 2, 3].map((rank) => ({
        sum: 10,
        links: [0, 1, 2, 3].map((other) => (other === rank ? "self" : linkOf(rank, other))),
      })),
    );
  });

  it("run examples/several-hosts.ts as its head says", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const program = fileURLToPath(new URL("../../examples/several-hosts.ts", import.meta.url));
    const told = [0, 1].map(async (rank) => {
      const host = made.hosts[made.areApart ? rank : 0]!;
      const child = spawn(...host.command(process.execPath, ["--import", "tsx", program]), {
        env: {
          ...{ ...process.env, RANK: `${rank}`, WORLD_SIZE: "2", WEBCCL_TOKEN: "secret", OWN_ADDRESS: host.address },
          ...{ MASTER_ADDR: made.hosts[0].address, MASTER_PORT: `${port}` },
        },
        stdio: ["ignore", "pipe", "inherit"],
      });
      return String(await child.stdout!.toArray().then((parts) => parts.join("")));
    });
    const link = made.areApart ? "websocket" : "shared-file";
    expect(await Promise.all(told)).toEqual([
      `rank 0 of 2 has the sum 3; its links: self, ${link}\n`,
      `rank 1 of 2 has the sum 3; its links: ${link}, self\n`,
    ]);
  });

  it("find a rank that listens everywhere by the address that it advertises", { timeout: 60_000 }, async () => {
    const said = await run([0, 1], (advertise) => ({ host: "0.0.0.0", advertise, insecure: true }));
    expect(said.map(({ sum, links }) => ({ sum, links }))).toEqual([
      { sum: 3, links: ["self", "websocket"] },
      { sum: 3, links: ["websocket", "self"] },
    ]);
  });

  it("are joined by the hub where the ranks do not listen beyond loopback", { timeout: 60_000 }, async ({ skip }) => {
    skip(!made.areApart, "this user may make no network namespace");
    const said = await run([0, 1], () => ({ insecure: true }));
    expect(said.map(({ links }) => links)).toEqual([
      ["self", "hub"],
      ["hub", "self"],
    ]);
  });

  it("are told which option is missing", { timeout: 60_000 }, async () => {
    if (made.areApart) {
      // Rank 0 hosts the hub at MASTER_ADDR; alone in its group it fails before it waits for anybody.
      const [open] = await run([0], () => ({}));
      expect(open!.error).toMatch(/^RangeError: binding 10\.77\.0\.1 lets other machines connect, and TLS is missing/);
      expect(open!.error).toMatch(/pass listen: \{ tls: \{ cert, key \} \}, or listen: \{ insecure: true \}/);
      const [bare] = await run([0], () => ({}), "");
      expect(bare!.error).toContain("pass token (or set WEBCCL_TOKEN) and listen: { tls: { cert, key } }");
    }
    const [wild] = await run([0], () => ({ host: "0.0.0.0", insecure: true }));
    expect(wild!.error).toMatch(/^RangeError: listen\.host is 0\.0\.0\.0.*pass listen\.advertise/);
    for (const advertise of ["", "ws://10.77.0.1", "a b", "10.77.0.1/path", "user@host"]) {
      const [wrong] = await run([0], () => ({ advertise, insecure: true }));
      expect(wrong!.error).toMatch(/^TypeError: listen\.advertise is .*: give a host name or address/);
    }
  });
});
