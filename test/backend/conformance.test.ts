import { afterEach, describe, expect, it } from "vitest";
import type { Backend, BackendContext, OwnBackend } from "../../src/backend/backend.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import {
  type BackendFilter,
  backendCases,
  CASE_COLLECTIVES,
  DebugBackend,
  FakeBackend,
  RoundRobinBackend,
} from "../../src/testing/index.ts";

const SIZE = 3;
let jobs = 0;
let groups: ProcessGroup[] = [];

type Make = (context: BackendContext) => OwnBackend;

/** A group of tasks of this process, each of which has `backend`, and does `then`. */
async function open(backend: Make | undefined, then?: (group: ProcessGroup) => Promise<void>): Promise<ProcessGroup[]> {
  const initMethod = `memory://backend-cases-${jobs++}`;
  const options = { initMethod, worldSize: SIZE, timeoutMs: 20_000, ...(backend && { backend }) };
  groups = await Promise.all(Array.from({ length: SIZE }, (_, rank) => initProcessGroup({ ...options, rank })));
  await Promise.all(groups.map((group) => then?.(group)));
  return groups;
}

afterEach(async () => {
  await Promise.all(groups.splice(0).map((group) => group.destroy()));
});

/** A user's own, which has a `run`, and no coalesced calls: singles stand for them. */
function plainBackend(context: BackendContext): Backend {
  const inner = context.builtIn();
  return {
    name: "plain",
    lacks: ["allReduceCoalesced", "broadcastCoalesced", "allGatherIntoTensorCoalesced", "reduceScatterTensorCoalesced"],
    run: (request, call) => inner.run(request, call),
    sitOut: (...args) => inner.sitOut(...args),
    stragglers: (sequence) => inner.stragglers(sequence),
    withdraw: (sequence, reason) => inner.withdraw(sequence, reason),
    abort: (cause) => inner.abort(cause),
    dispose: () => inner.dispose(),
  };
}

const HAS = ["allReduce", "broadcast", "allGather", "barrier", "send", "recv", "recvAnySource", "newGroup"] as const;

/** A user's own with a method for each collective that it has, as c10d's backends have them. */
function methodBackend(context: BackendContext): OwnBackend {
  const inner = context.builtIn();
  const { run, lacks: _, ...rest } = plainBackend({ ...context, builtIn: () => inner });
  return { ...rest, ...Object.fromEntries(HAS.map((name) => [name, run])), name: "methods" };
}

/** FakeBackend cannot make up values. */
const OBJECTS = ["allGatherObject", "broadcastObject", "gatherObject", "scatterObject", "split"];

/** The cases in which `methodBackend` has not all that they call. */
const METHOD_LACKS = CASE_COLLECTIVES.filter((name) => {
  return !/^(broadcast|allReduce|allReduceCoalesced|coalesce\w*|allGather|allGatherInPlace|sendRecv|recvAnySource|barrier|newGroup|concurrent)$/.test(
    name,
  );
});

const byMemory = async (group: ProcessGroup) => {
  await group.registerBackend("cpu", (context) => context.builtIn());
  await group.registerBackend("webgpu", () => new FakeBackend());
};

const BACKENDS: readonly [string, Make | undefined, BackendFilter, ((group: ProcessGroup) => Promise<void>)?][] = [
  ["direct", undefined, {}],
  ["fake", () => new FakeBackend(), { moves: false, lacks: OBJECTS }],
  ["round-robin", (context) => new RoundRobinBackend([context.builtIn(), context.builtIn()]), {}],
  ["debug", (context) => new DebugBackend(context.builtIn(), context), {}],
  [
    "debug around round-robin around debug",
    (context) =>
      new DebugBackend(
        new RoundRobinBackend([new DebugBackend(context.builtIn(), context), context.builtIn()]),
        context,
      ),
    {},
  ],
  ["by memory", undefined, {}, byMemory],
  ["a user's own", plainBackend, {}],
  ["a user's own by methods", methodBackend, { lacks: METHOD_LACKS }],
];

describe.each(BACKENDS)("the backend conformance suite: %s", (_name, backend, filter, then) => {
  it("passes every case", { timeout: 60_000 }, async () => {
    let ran = 0;
    let members = await open(backend, then);
    for (const one of backendCases({ size: SIZE, ...filter })) {
      await Promise.all(members.map((group) => one.run(group)));
      ran++;
      if (!one.ends) continue;
      await Promise.all(members.map((group) => group.destroy()));
      members = await open(backend, then);
    }
    expect(ran).toBeGreaterThan(60);
  });
});
