import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webccl } from "./command.ts";

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
