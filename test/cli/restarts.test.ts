/** Jobs that go on after a rank has died: --max-restarts starts it again, --no-kill does not. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { program, webccl } from "./command.ts";

const ELASTIC = fileURLToPath(new URL("../../examples/elastic.ts", import.meta.url));

describe("webccl run --max-restarts", () => {
  it.each([1, 0])(
    "starts rank %i again, which joins: examples/elastic.ts ends with all ranks and one state",
    {
      timeout: 60_000,
    },
    async (victim) => {
      const { code, stdout, stderr } = await webccl([
        ...["run", "-n", "3", "--max-restarts", "1", ELASTIC, String(victim), "20"],
      ]);
      expect(stderr).toContain(`rank ${victim} was killed by SIGKILL, and is started again`);
      expect(stdout).toMatch(/epoch 1: 2 ranks at step 2\d, with one state/);
      expect(stdout).toMatch(/epoch 2: 3 ranks at step \d+, with one state/);
      expect(stdout.match(/of 3, epoch 2: 99\.6 % right/g)).toHaveLength(3);
      expect(code).toBe(0);
    },
  );

  it("is refused with threads", async () => {
    const { code, stderr } = await webccl(["run", "-n", "2", "--threads", "--max-restarts", "1", ELASTIC]);
    expect(stderr).toContain("--max-restarts is for processes");
    expect(code).toBe(2);
  });
});

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

describe("webccl run --no-kill", { timeout: 60_000 }, () => {
  it.each([
    ["--no-kill", "2"],
    ["--enable-recovery", "0"],
  ])("%s: ranks that have lost rank %s go on as a smaller group, and the job ends well", async (flags, victim) => {
    const { code, stdout, stderr } = await webccl(["run", "-n", "3", ...flags.split(" "), ELASTIC, victim, "20"]);
    expect(lines(stderr)[0]).toBe(`webccl run: rank ${victim} was killed by SIGKILL, and the others go on`);
    expect(stdout).toMatch(/epoch 1: 2 ranks at step 2\d, with one state/);
    expect(stdout.match(/of 2, epoch 1: 99\.6 % right/g)).toHaveLength(2);
    const others = [0, 1, 2].filter((rank) => `${rank}` !== victim).map((rank) => `${rank} code 0`);
    expect(lines(stderr).at(-1)).toBe(
      `webccl run: rank ${victim} was killed by SIGKILL; the others: ${others.join(", ")}; 2 of 3 ranks ended well, so the job did`,
    );
    expect(code).toBe(0);
  });

  it("lets the others go on after the last restart, too", async () => {
    const file = join(temporaryFolder(), "pid");
    const ends = [`0 after ${file}`, `5 as ${file}`];
    const { code, stderr } = await webccl([
      ...["run", "-n", "2", "--no-kill", "--max-restarts", "1", program("ends.mjs")],
      ...ends,
    ]);
    expect(lines(stderr)).toEqual([
      "webccl run: rank 1 exited with code 5, and is started again",
      "webccl run: rank 1 exited with code 5, and the others go on",
      "webccl run: rank 1 exited with code 5; the others: 0 code 0; 1 of 2 ranks ended well, so the job did",
    ]);
    expect(code).toBe(0);
  });

  const TOLD = { "3": "exited with code 3", "4": "exited with code 4", SIGKILL: "was killed by SIGKILL" };
  const SHORT = { "3": "code 3", "4": "code 4", SIGKILL: "SIGKILL" };
  const CODE = { "3": 3, "4": 4, SIGKILL: 137 };

  it.each([
    [[], ["3", "4"]],
    [["--threads"], ["3", "4"]],
    [[], ["SIGKILL", "4"]],
  ] as const)(
    "%j: where ranks end with %j no rank ended well, and the first one's code is the job's",
    async (flags, ends) => {
      const { code, stderr } = await webccl(["run", "-n", "2", "--no-kill", ...flags, program("ends.mjs"), ...ends]);
      const says = [0, 1].map((first) => {
        const [one, other] = [ends[first]!, ends[1 - first]!];
        const text = `rank ${first} ${TOLD[one]}; the others: ${1 - first} ${SHORT[other]}; no rank ended well`;
        return { last: `webccl run: ${text}`, code: CODE[one] };
      });
      expect(says).toContainEqual({ last: lines(stderr).at(-1), code });
    },
  );

  it.each([
    [[], ["0", "0"], null],
    [[], ["0", "4"], "rank 1 exited with code 4; the others: 0 code 0; 1 of 2 ranks ended well, so the job did"],
    [
      ["--threads"],
      ["3", "0"],
      "rank 0 exited with code 3; the others: 1 code 0; 1 of 2 ranks ended well, so the job did",
    ],
  ] as const)("%j: where ranks end with %j the job ends well", async (flags, ends, says) => {
    const { code, stderr } = await webccl(["run", "-n", "2", "--no-kill", ...flags, program("ends.mjs"), ...ends]);
    expect(lines(stderr).at(-1) ?? null).toBe(says && `webccl run: ${says}`);
    expect(code).toBe(0);
  });
});
