import { describe, expect, it } from "vitest";
import { DEMO_COLLECTIVES, type Order } from "../../demo/measure.ts";
import { type Chosen, programText } from "../../demo/program-text.ts";
import { initProcessGroup } from "../../src/node/index.ts";

const DTYPES: readonly Order["dtype"][] = ["f32", "i32", "u32", "f64", "i64", "u8"];
let groups = 0;

/** Runs the text as a program of two ranks, which meet in this process. */
async function run(text: string): Promise<void> {
  const name = `memory://program-${groups++}`;
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  const program = new AsyncFunction("initProcessGroup", `${text.replace(/^import .*\n/, "")}\nawait group.destroy();`);
  const join = (rank: number) => (options: { worldSize: number }) =>
    initProcessGroup({ ...options, initMethod: name, rank, backend: "cpu" });
  await Promise.all([0, 1].map((rank) => program(join(rank))));
}

describe("programText()", () => {
  it.each(DEMO_COLLECTIVES)("is a program that runs: %s", async (collective) => {
    for (const dtype of DTYPES) {
      const chosen: Chosen = { collective, op: "max", dtype, memory: "cpu", maxBytes: 4096 };
      await run(programText(chosen, "ws://127.0.0.1:29500", 2));
    }
  });

  it("names GPUBuffers where they are chosen, and the hub and the ranks in any case", () => {
    for (const memory of ["cpu", "webgpu"] as const) {
      const chosen: Chosen = { collective: "all_reduce", op: "sum", dtype: "f32", memory, maxBytes: 2 ** 20 };
      const text = programText(chosen, "wss://hub.example", 3);
      expect(text).toContain('initMethod: "wss://hub.example/my-group", worldSize: 3,');
      expect(text).toContain("const count = 262_144;");
      expect(text.includes("createBuffer")).toBe(memory === "webgpu");
    }
  });
});
