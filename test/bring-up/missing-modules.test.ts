/** A page whose server is gone cannot load what it has not loaded yet: its groups end all the same, with an error. */
import { describe, expect, it, vi } from "vitest";
import { AbortedError, TimeoutError } from "../../src/errors.ts";
import { withMemoryGroups } from "../conformance/harness.ts";

const gone = vi.hoisted(() => () => {
  throw new Error("the server is gone");
});
vi.mock("../../src/bring-up/agree-on-cause.ts", gone);
vi.mock("../../src/messaging/mismatch-errors.ts", gone);

describe("a rank that cannot load a module any more", () => {
  it("dies of what it saw itself, where it cannot ask the others", async () => {
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 1) return ended;
      await expect(Promise.resolve(group.barrier({ timeoutMs: 100 }))).rejects.toThrow(TimeoutError);
      end();
    });
  });

  it("dies where it cannot say how calls differ", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const call = rank === 0 ? group.allReduce(new Float32Array(1)) : group.broadcast(new Float32Array(1));
      await expect(Promise.resolve(call)).rejects.toThrow(AbortedError);
    });
  });
});
