/** `webccl run --nnodes`: a launcher on each of two hosts, which are network namespaces. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Command, program, start } from "../../cli/command.ts";
import { freePort } from "../../helpers/free-port.ts";
import { type Hosts, makeHosts } from "./hosts.ts";

const TOKEN = { WEBCCL_TOKEN: "a secret of both hosts" };
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
let made: Hosts;
let port: number;
beforeAll(async () => {
  made = makeHosts();
  port = await freePort();
});
afterAll(() => made.end());

/** Starts the launcher of a host. */
function launch(host: 0 | 1, nodes: string, words: readonly string[], env: Record<string, string> = TOKEN): Command {
  const endpoint = `${made.hosts[0].address}:${port}`;
  return start(
    ["run", "--nnodes", nodes, "--node-rank", `${host}`, "--rdzv-endpoint", endpoint, ...words],
    env,
    process.cwd(),
    made.hosts[made.areApart ? host : 0].command,
  );
}

describe("webccl run --nnodes", { timeout: 120_000 }, () => {
  it("gives the ranks of two hosts their numbers, and one group", async () => {
    const words = ["-n", "2", "--insecure"];
    const commands = [0, 1].map((host) => launch(host as 0 | 1, "2", [...words, program("torchrun.mjs")]));
    const told = await Promise.all(commands.map(({ ended }) => ended));
    const ranks = told.flatMap(({ stdout }) => lines(stdout)).sort();
    expect(ranks.map((line) => JSON.parse(line.replace(/^\[(\d)\] /, "")))).toMatchObject(
      [0, 1, 2, 3].map((rank) => ({
        ...{ RANK: `${rank}`, WORLD_SIZE: "4", ROLE_RANK: `${rank}`, ROLE_WORLD_SIZE: "4" },
        ...{ LOCAL_RANK: `${rank % 2}`, LOCAL_WORLD_SIZE: "2", GROUP_RANK: `${rank >> 1}`, GROUP_WORLD_SIZE: "2" },
        ...{ MASTER_ADDR: made.hosts[0].address, MASTER_PORT: `${port}` },
      })),
    );
    const summing = [1, 0].map((host) => launch(host as 0 | 1, "2", [...words, program("grows.mjs"), "4", "1"]));
    const sums = await Promise.all(summing.map(({ ended }) => ended));
    expect(sums.map(({ code }) => code)).toEqual([0, 0]);
    expect(
      lines(sums.map(({ stdout }) => stdout).join(""))
        .map((line) => line.replace(/, pid.*/, ""))
        .sort(),
    ).toEqual([0, 1, 2, 3].map((rank) => `[${rank}] epoch 0: rank ${rank} of 4 has 10`));
  });

  it("ends on every host when a rank dies, and each launcher says of its own", async () => {
    const words = ["-n", "2", "--insecure", program("grows.mjs"), "5", "1"];
    const [first, second] = [launch(0, "2", words), launch(1, "2", words)];
    const [, pid] = await second.printed(/rank 3 of 4 has 10, pid (\d+)/);
    await first.printed(/rank 1 of 4/);
    process.kill(Number(pid), "SIGKILL");
    const ended = await second.ended;
    expect(ended.code).toBe(128 + 9);
    expect(lines(ended.stderr).at(-1)).toMatch(/^webccl run: rank 3 was killed by SIGKILL; the others: 2 /);
    // The others go on without that host, as this program does, until they are told to end.
    await first.printed(/epoch \d+: rank 0 of 2 has 3/);
    first.process.kill("SIGTERM");
    expect((await first.ended).code).toBe(143);
  });

  it("starts the only rank of a host again, which joins those of the others", async () => {
    const words = ["-n", "1", "--insecure", "--max-restarts", "1", program("grows.mjs"), "2", "2"];
    const commands = [launch(0, "2", words), launch(1, "2", words)] as const;
    const [, pid] = await commands[1].printed(/epoch 0: rank 1 of 2 has 3, pid (\d+)/);
    await commands[0].printed(/epoch 0: rank 0 of 2/);
    process.kill(Number(pid), "SIGKILL");
    const [first, second] = await Promise.all(commands.map(({ ended }) => ended));
    expect([first?.code, second?.code]).toEqual([0, 0]);
    expect(second?.stderr).toContain("webccl run: rank 1 was killed by SIGKILL, and is started again");
    expect(second?.stdout).toMatch(/\[1\] epoch [1-9]\d*: rank 1 of 2 has 3/);
  });

  it("lets a host in that comes later, and one that was killed and comes again", async () => {
    const words = ["-n", "2", "--insecure", program("grows.mjs"), "4", "2"];
    const first = launch(0, "1:2", words);
    await first.printed(/epoch 0: rank 1 of 2 has 3/);
    const second = launch(1, "1:2", words);
    await second.printed(/\[1\.[01]\] epoch \d+: rank [23] of 4 has 10/);
    await first.printed(/rank 0 of 4 has 10/);
    second.process.kill("SIGKILL");
    await first.printed(/rank 1 of 4[\s\S]*rank 1 of 2 has 3/);
    const again = launch(1, "1:2", words);
    const [ended, endedFirst] = await Promise.all([again.ended, first.ended]);
    expect([ended.code, endedFirst.code]).toEqual([0, 0]);
    expect(endedFirst.stdout.match(/rank 0 of 4 has 10/g)).toHaveLength(2);
    expect(ended.stdout).toMatch(/\[1\.[01]\] epoch \d+: rank 3 of 4 has 10/);
  });

  it("is refused in one line where the token is another one, and where nothing protects the hub", async () => {
    const words = ["-n", "1", program("grows.mjs"), "2", "1"];
    if (made.areApart) {
      const { code, stderr } = await launch(0, "2", words).ended;
      expect(code).toBe(2);
      expect(lines(stderr)[0]).toMatch(
        /^webccl: binding 10\.77\.0\.1 lets other machines connect, and TLS is missing.*--insecure/,
      );
    }
    const first = launch(0, "2", ["--insecure", ...words]);
    const { code, stderr } = await launch(1, "2", words, { WEBCCL_TOKEN: "another" }).ended;
    first.process.kill("SIGTERM");
    expect(code).toBe(1);
    expect(lines(stderr).filter((line) => /^\[1\] AdmissionError/.test(line))).toHaveLength(1);
    await first.ended;
  });
});
