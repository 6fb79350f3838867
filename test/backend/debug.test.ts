import { afterEach, describe, expect, it } from "vitest";
import type { BackendContext } from "../../src/backend/backend.ts";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { hashTensors, initProcessGroup, type Logger, setDebugLevel } from "../../src/node/index.ts";

let jobs = 0;
let groups: ProcessGroup[] = [];
let lines: string[] = [];
const line = (text: string) => lines.push(text);
const logger: Logger = { error: line, warn: line, info: () => {}, debug: line };

async function open(size: number, options: InitOptions = {}): Promise<ProcessGroup[]> {
  const common = { initMethod: `memory://debug-${jobs++}`, worldSize: size, logger, timeoutMs: 10_000, ...options };
  groups = await Promise.all(Array.from({ length: size }, (_, rank) => initProcessGroup({ ...common, rank })));
  lines = [];
  return groups;
}

afterEach(async () => {
  setDebugLevel(null);
  await Promise.all(groups.splice(0).map((group) => group.destroy()));
});

const hex = (hash: bigint) => hash.toString(16).padStart(16, "0");

describe("WEBCCL_DEBUG=DETAIL", () => {
  it("logs each call with the hashes of its tensors before and after, and with the line that made it", async () => {
    setDebugLevel("DETAIL");
    const [a, b] = (await open(2)) as [ProcessGroup, ProcessGroup];
    expect([a.backendName, a.getBackend("cpu").name]).toEqual(["direct", "direct"]);
    const [mine, theirs] = [Float32Array.of(1, 2), Float32Array.of(10, 20)];
    const before = hex(await hashTensors([mine]));
    await Promise.all([a.allReduce(mine), b.allReduce(theirs)]);
    const own = lines.filter((text) => text.startsWith("rank 0:"));
    expect(own[0]).toMatch(
      new RegExp(`^rank 0: allReduce 1 \\(f32 × 2\\) begins, hash ${before} .*debug\\.test\\.ts:\\d+`),
    );
    expect(own[1]).toBe(`rank 0: allReduce 1 ends, hash ${hex(await hashTensors([Float32Array.of(11, 22)]))}`);
    const ends = lines.filter((text) => text.includes(" ends, ")).map((text) => text.slice(8));
    expect(ends[0]).toBe(ends[1]);
  });

  it("names the line that made the call in a MismatchError, on each rank its own, coalesced and persistent calls too", async () => {
    setDebugLevel("DETAIL");
    const [a, b] = (await open(2)) as [ProcessGroup, ProcessGroup];
    const tensor = () => Int32Array.of(1);
    // Functions of these names make the calls.
    const callOfA = (group: ProcessGroup) => group.allReduce(tensor());
    const callsOfB: ((group: ProcessGroup) => PromiseLike<void>)[] = [
      function ofBarrier(group) {
        return group.barrier();
      },
      function ofCoalesce(group) {
        return group.coalesce(() => {
          group.allReduce(tensor());
          group.allReduce(tensor());
        });
      },
      function ofMaking(group) {
        return group.persistent.allReduce(tensor()).ready;
      },
    ];
    for (const callOfB of callsOfB) {
      const [first, second] = await Promise.allSettled([callOfA(a), callOfB(b)]);
      const messages = [first, second].map((outcome) => (outcome as PromiseRejectedResult).reason as MismatchError);
      for (const error of messages) expect(error).toBeInstanceOf(MismatchError);
      expect(messages[0]!.message).not.toContain("WEBCCL_DEBUG");
      expect(messages[0]!.message).toMatch(/rank 0 made allReduce \d+ here:\n\s*at callOfA .*debug\.test\.ts:\d+/);
      expect(messages[1]!.message).toContain("rank 1 made ");
      expect(messages[1]!.message).toContain(callOfB.name);
      expect(messages[1]!.message).not.toContain("/src/");
    }
    await Promise.all([a.barrier(), b.barrier()]);
  });

  it("warns of an input that changed while the call ran, in host memory", async () => {
    setDebugLevel("DETAIL");
    const [a, b] = (await open(2)) as [ProcessGroup, ProcessGroup];
    const inputs = [new Float32Array(50_000), new Float32Array(50_000)] as const;
    const outputs = [new Float32Array(100_000), new Float32Array(100_000)] as const;
    const works = [a.allGatherIntoTensor(outputs[0], inputs[0]), b.allGatherIntoTensor(outputs[1], inputs[1])];
    inputs[0][49_999] = 1;
    await Promise.all(works);
    const warnings = lines.filter((text) => text.includes("an input of it changed"));
    expect(warnings).toEqual([expect.stringMatching(/^rank 0: allGatherIntoTensor 1: an input/)]);
    await Promise.all([a.allGatherIntoTensor(outputs[0], inputs[0]), b.allGatherIntoTensor(outputs[1], inputs[1])]);
    const own = outputs[0].subarray(0, 50_000);
    await Promise.all([a.allGatherIntoTensor(outputs[0], own), b.allGatherIntoTensor(outputs[1], inputs[1])]);
    expect(lines.filter((text) => text.includes("changed"))).toHaveLength(1);
  });

  it("may hold on some ranks alone, is around children and registered backends, and is off elsewhere", async () => {
    setDebugLevel("DETAIL");
    const members = (await open(2)) as [ProcessGroup, ProcessGroup];
    const [child] = await Promise.all(members.map((group) => group.newGroup([0, 1])));
    await Promise.all(members.map((group) => group.registerBackend("cpu", (context) => context.builtIn())));
    lines = [];
    const again = await Promise.all(members.map((group) => group.split(0)));
    await Promise.all(again.map((group) => group!.barrier()));
    await Promise.all(members.map((group) => group.allReduce(Int8Array.of(1))));
    expect(lines.filter((text) => /barrier 1 ends|allReduce \d+ ends/.test(text))).toHaveLength(4);
    expect(child!.backendName).toBe("direct");
    setDebugLevel(null);
    const plain = await Promise.all(members.map((group) => group.newGroup([0, 1])));
    lines = [];
    await Promise.all(plain.map((group) => group!.barrier()));
    expect(lines.filter((text) => text.includes(" ends"))).toEqual([]);
  });

  it("lets a user's own backend be the caller's, whose Works are asked as ever", async () => {
    setDebugLevel("DETAIL");
    const inner = (context: BackendContext) => context.builtIn();
    const [group] = (await open(1, { backend: inner })) as [ProcessGroup];
    await group.allReduce(Float64Array.of(1));
    expect(lines.some((text) => text.includes("allReduce 1 ends, hash"))).toBe(true);
    await group.destroy();
  });
});
