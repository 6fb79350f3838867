/** Flags and variables of torchrun, on one host. Several hosts: test/runtime/hosts/launcher.test.ts. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { makeCertificate } from "../security/certificate.ts";
import { program, webccl } from "./command.ts";

const PROGRAM = program("torchrun.mjs");
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const variablesIn = (stdout: string): Record<string, string>[] =>
  lines(stdout).map((line) => JSON.parse(line.replace(/^\[\d+\] /, "")));

describe("webccl run as torchrun", () => {
  it.each([
    ["-n 2", "0"],
    ["--standalone --nproc_per_node 2 --max_restarts=3", "3"],
    ["--nnodes=1 --node_rank=0 --nproc-per-node=2", "0"],
  ])("sets torchrun's variables: %s", async (flags, restarts) => {
    const { code, stdout } = await webccl(["run", ...flags.split(" "), PROGRAM]);
    const told = variablesIn(stdout).sort((a, b) => Number(a.RANK) - Number(b.RANK));
    expect(told).toEqual(
      ["0", "1"].map((rank) => ({
        ...{ RANK: rank, LOCAL_RANK: rank, ROLE_RANK: rank, ROLE_NAME: "default", GROUP_RANK: "0" },
        ...{ WORLD_SIZE: "2", LOCAL_WORLD_SIZE: "2", ROLE_WORLD_SIZE: "2", GROUP_WORLD_SIZE: "1" },
        ...{ MASTER_ADDR: "127.0.0.1", MASTER_PORT: expect.stringMatching(/^\d+$/) },
        ...{ TORCHELASTIC_RUN_ID: "run", TORCHELASTIC_RESTART_COUNT: "0", TORCHELASTIC_MAX_RESTARTS: restarts },
      })),
    );
    expect(code).toBe(0);
  });

  it("tells a rank that is started again that it is", async () => {
    const { code, stdout } = await webccl(["run", "-n", "2", "--max-restarts", "1", PROGRAM, "1"]);
    const told = variablesIn(stdout).filter(({ LOCAL_RANK }) => LOCAL_RANK === "1");
    const count = (env: Record<string, string>) => [env.TORCHELASTIC_RESTART_COUNT, env.WEBCCL_JOIN];
    // Rank 0 may have ended before: then there is no group to join.
    if (told.length === 2)
      expect(told.map(count)).toEqual([
        ["0", undefined],
        ["1", "1"],
      ]);
    else expect(code).toBe(9);
  });

  it("sets them for a job of one host with an endpoint of its own", async () => {
    const port = await freePort();
    const endpoint = ["--rdzv-endpoint", `127.0.0.1:${port}`, "--rdzv-id", "job-7"];
    const { code, stdout } = await webccl([
      "run",
      "-n",
      "1",
      "--nnodes",
      "1",
      ...endpoint,
      program("grows.mjs"),
      "1",
      "1",
    ]);
    expect(stdout).toMatch(/^\[0\] epoch 0: rank 0 of 1 has 1/);
    expect(code).toBe(0);
    const { stdout: told } = await webccl(["run", "-n", "1", "--nnodes", "1", ...endpoint, PROGRAM]);
    expect(variablesIn(told)).toMatchObject([
      { MASTER_PORT: `${port}`, TORCHELASTIC_RUN_ID: "job-7", WEBCCL_INIT_METHOD: `ws://127.0.0.1:${port}/job-7` },
    ]);
  });

  it.each([
    ["127.0.0.1:1", "ws://127.0.0.1:1"],
    ["ws://127.0.0.1:1", "ws://127.0.0.1:1"],
    ["wss://127.0.0.1:1", "wss://127.0.0.1:1"],
    ["wss://[::1]:1", "wss://[::1]:1"],
    ["wss://host-0", "wss://host-0:29500"],
  ])("leads the ranks of a host that has no certificate from --rdzv-endpoint %s to %s", async (endpoint, url) => {
    const words = ["-n", "1", "--nnodes", "2", "--node-rank", "1", "--rdzv-endpoint", endpoint, PROGRAM];
    const { code, stdout } = await webccl(["run", ...words]);
    expect(variablesIn(stdout)).toMatchObject([{ WEBCCL_INIT_METHOD: `${url}/run` }]);
    expect(code).toBe(0);
  });

  it("keeps a hub with TLS at an endpoint that says so, where its ranks and those of a host without the certificate meet", async () => {
    const folder = temporaryFolder();
    const { cert, key } = makeCertificate();
    const [certFile, keyFile] = [join(folder, "hub.pem"), join(folder, "hub.key")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const endpoint = `wss://localhost:${await freePort()}`;
    const ended = await Promise.all(
      [0, 1].map((host) =>
        webccl(
          [
            ...["run", "-n", "1", "--nnodes", "2", "--node-rank", `${host}`, "--rdzv-endpoint", endpoint],
            ...(host === 0 ? ["--cert", certFile, "--key", keyFile] : []),
            ...[program("grows.mjs"), "2", "1"],
          ],
          { WEBCCL_TOKEN: "a secret of both hosts", NODE_EXTRA_CA_CERTS: certFile },
        ),
      ),
    );
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(ended.map(({ stdout }) => stdout.replace(/, pid.*/s, ""))).toEqual(
      [0, 1].map((rank) => `[${rank}] epoch 0: rank ${rank} of 2 has 3`),
    );
  });

  it("keeps what the ranks print in files, and prints it too if it is asked to", async () => {
    for (const threads of [[], ["--threads"]]) {
      for (const tee of [[], ["--tee"]]) {
        const folder = join(temporaryFolder(), "a", "logs");
        const { code, stdout, stderr } = await webccl([
          ...["run", "-n", "2", ...threads, "--log-dir", folder, ...tee, PROGRAM, "1"],
        ]);
        expect(code).toBe(9);
        expect(readdirSync(folder).sort()).toEqual(
          [0, 1].flatMap((rank) => ["stderr", "stdout"].map((stream) => `rank-${rank}.${stream}.log`)),
        );
        for (const rank of ["0", "1"]) {
          const kept = (stream: string) => readFileSync(join(folder, `rank-${rank}.${stream}.log`), "utf8");
          expect(variablesIn(kept("stdout"))).toMatchObject([{ RANK: rank }]);
          expect(kept("stderr")).toContain(`error stream of ${rank}\n`);
        }
        expect(lines(stdout)).toHaveLength(tee.length * 2);
        expect(lines(stderr).filter((line) => /^\[\d\] error stream/.test(line))).toHaveLength(tee.length * 2);
        expect(lines(stderr).at(-1)).toMatch(/^webccl run: rank 1 exited with code 9; the others: 0 /);
      }
    }
  });

  it.each([
    ["--nnodes 2 -n 1", "--node-rank is missing, the number of this host, 0 to 1: webccl run --nnodes 2"],
    ["--nnodes 2 --node-rank 2 -n 1", "--node-rank is 2, and --nnodes 2 allows 0 to 1"],
    ["--nnodes 2 --node-rank 0 -n 1", "--rdzv-endpoint is missing, an address of host 0 that all hosts reach"],
    ["--nnodes 4:2 --node-rank 0 -n 1", "--nnodes must be a number of hosts, such as 2, or the least and the most"],
    ["--nnodes 0 -n 1", "--nnodes must be a number of hosts"],
    ["--nnodes two -n 1", "--nnodes must be a number of hosts"],
    [
      "--nnodes 2 --node-rank 0 --rdzv-endpoint http://a -n 1",
      "--rdzv-endpoint must be host:port, such as 10.0.0.1:29500",
    ],
    ["--nnodes 2 --node-rank 0 --rdzv-endpoint a:0 -n 1", "--rdzv-endpoint must be host:port"],
    [
      "--nnodes 2 --node-rank 1 --rdzv-endpoint https://a:1 -n 1",
      "--rdzv-endpoint must be host:port, such as 10.0.0.1:29500, with wss:// before it if the hub has TLS, got https://a:1",
    ],
    [
      "--nnodes 2 --node-rank 1 --rdzv-endpoint wss://a:1/job -n 1",
      "--rdzv-endpoint must be host:port, such as 10.0.0.1:29500, with wss:// before it if the hub has TLS",
    ],
    [
      "--nnodes 2 --node-rank 0 --rdzv-endpoint wss://127.0.0.1:1 -n 1",
      "--rdzv-endpoint wss://127.0.0.1:1 is with TLS, and this host keeps the hub: give --cert and --key, or say ws://127.0.0.1:1",
    ],
    [
      "--nnodes 2 --node-rank 1 --rdzv-endpoint ws://a:1 --cert c --key k -n 1",
      "--rdzv-endpoint ws://a:1 is without TLS, and --cert gives the hub TLS: say wss://a:1",
    ],
    ["--nnodes 2 --node-rank 0 --rdzv-endpoint a:1 --hub ws://b/c -n 1", "give --rdzv-endpoint or --hub, not both"],
    ["--standalone --nnodes 2 -n 1", "--standalone is a job of this host alone"],
    ["--node-rank 1 -n 1", "--node-rank goes with --nnodes"],
    ["--insecure -n 1", "--insecure goes with --nnodes"],
    ["--nnodes 2 --node-rank 0 --rdzv-endpoint 127.0.0.1:1 --threads -n 2", "--threads are of one host"],
    ["--nnodes 2 --node-rank 0 --rdzv-endpoint 127.0.0.1:1 --browsers 1 -n 2", "--browsers are of one host"],
    ["--tee -n 1", "--tee goes with --log-dir"],
    ["--log-dir /dev/null/logs -n 1", "--log-dir /dev/null/logs cannot be made"],
    ["--nnodes 2 --node-rank 0 --rdzv-endpoint 0.0.0.0:1 -n 1", "pass a token in WEBCCL_TOKEN and --cert and --key"],
  ])("refuses %s", async (flags, says) => {
    const { code, stdout, stderr } = await webccl(["run", ...flags.split(" "), PROGRAM], { WEBCCL_TOKEN: "" });
    expect(lines(stderr)[0]).toContain(says);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});
