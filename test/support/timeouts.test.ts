/** Every public place that takes a timeout has one rule: `src/support/timeouts.ts`. More than 400 lines, most of them the table of places. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import ts from "typescript";
import { describe, expect, it, onTestFinished } from "vitest";
import { TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { watchLiveness } from "../../src/link/websocket/liveness.ts";
import { createHub } from "../../src/node/hub.ts";
import {
  FileStore,
  HashStore,
  HubStore,
  initProcessGroup,
  PrefixStore,
  type Store,
  StoreCollectives,
  TcpStore,
  Work,
} from "../../src/node/index.ts";
import { Deadlines } from "../../src/support/deadlines.ts";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** Delays that a runtime's own timer would let pass at once: it takes no more than 2^31 - 1 ms. */
const LONG = [2 ** 31 - 1, 2 ** 31, 2 ** 32 + 1, 2 ** 53, Number.MAX_VALUE, Number.POSITIVE_INFINITY];
const BAD = [-1, -1e-9, Number.NEGATIVE_INFINITY, Number.NaN];

/** Resolves after timers that were set before with a delay of 1 ms have fired. */
async function timersOfOneMillisecondHaveFired(): Promise<void> {
  const store = new HashStore();
  await expect(store.wait(["never"], 10)).rejects.toThrow(TimeoutError);
}

let names = 0;

async function pair(): Promise<[ProcessGroup, ProcessGroup]> {
  const initMethod = `memory://timeouts-${names++}`;
  const join = (rank: number) => initProcessGroup({ initMethod, rank, worldSize: 2 });
  const groups = await Promise.all([join(0), join(1)]);
  onTestFinished(async () => {
    await Promise.all(groups.map((group) => group.destroy()));
  });
  return groups;
}

interface Place {
  /** "limit": 0 means no timeout. "store": 0 means a single look. */
  kind: "limit" | "store";
  /** Starts the call with this timeout: its outcome, and `end`, which lets it end well. */
  start(timeoutMs: number): Promise<{ outcome: Promise<unknown>; end(): unknown }>;
}

/** A collective that waits for rank 1. */
const collective = (call: (group: ProcessGroup, options: { timeoutMs?: number }) => Promise<unknown>): Place => ({
  kind: "limit",
  async start(timeoutMs) {
    const [first, second] = await pair();
    return { outcome: call(first, { timeoutMs }), end: () => call(second, {}) };
  },
});

const f32 = (count = 2) => new Float32Array(count);

/** A store's call that waits for the key "late". */
const storeCall = (
  open: () => Store | Promise<Store>,
  call: (store: Store, timeoutMs: number) => Promise<unknown>,
): Place => ({
  kind: "store",
  async start(timeoutMs) {
    const store = await open();
    onTestFinished(() => store.close());
    const end = () => Promise.all([store.set("late", "1"), store.queuePush("late", "1")]);
    return { outcome: call(store, timeoutMs), end };
  },
});

const onTimeout = (store: Store, timeoutMs: number) => {
  store.timeoutMs = timeoutMs;
  return store;
};

const STORES: readonly [string, () => Store | Promise<Store>][] = [
  ["HashStore", () => new HashStore()],
  ["PrefixStore", () => new PrefixStore("a", new HashStore())],
  ["FileStore", () => new FileStore(`${temporaryFolder()}/store`)],
  ["TcpStore", () => TcpStore.listen()],
];

const storePlaces = STORES.flatMap(([name, open]): [string, Place][] => [
  [`${name}.timeoutMs`, storeCall(open, async (store, ms) => onTimeout(store, ms).get("late"))],
  [`${name}.wait(timeoutMs)`, storeCall(open, (store, ms) => store.wait(["late"], ms))],
  [`${name}.queuePop`, storeCall(open, (store, ms) => store.queuePop("late", { timeoutMs: ms }))],
]);

/** A collective over a store, which rank 0 of two makes. */
const overStore = (call: (on: StoreCollectives, timeoutMs?: number) => Promise<unknown>): Place => ({
  kind: "store",
  async start(timeoutMs) {
    const store = new HashStore();
    onTestFinished(() => store.close());
    const end = async () => {
      await store.set("key", "1");
      await store.multiSet(["key/0", "key/1"], ["1", "2"]);
      for (const barrier of ["key", "key/barrier"]) await store.set(`${barrier}/last_members`, "");
    };
    return { outcome: call(new StoreCollectives(store, 0, 2), timeoutMs), end };
  },
});

/** By the name that {@link publicTimeouts} finds. */
const PLACES: Readonly<Record<string, readonly [string, Place][]>> = {
  "CollectiveOptions.timeoutMs": [
    ["barrier", collective((group, options) => group.barrier(options))],
    ["monitoredBarrier", collective((group, options) => group.monitoredBarrier(options))],
    ["broadcast", collective((group, options) => group.broadcast(f32(), { root: 1, ...options }))],
    ["allReduce", collective((group, options) => group.allReduce(f32(), options))],
    ["reduce", collective((group, options) => group.reduce(f32(), options))],
    ["allGather", collective((group, options) => group.allGather([f32(), f32()], f32(), options))],
    ["allGatherIntoTensor", collective((group, options) => group.allGatherIntoTensor(f32(4), f32(), options))],
    ["gather", collective((g, options) => g.gather(g.rank === 0 ? [f32(), f32()] : null, f32(), options))],
    [
      "scatter",
      collective((g, options) => g.scatter(f32(), g.rank === 1 ? [f32(), f32()] : null, { root: 1, ...options })),
    ],
    ["reduceScatter", collective((group, options) => group.reduceScatter(f32(), [f32(), f32()], options))],
    ["reduceScatterTensor", collective((group, options) => group.reduceScatterTensor(f32(), f32(4), options))],
    ["allToAll", collective((group, options) => group.allToAll([f32(), f32()], [f32(), f32()], options))],
    ["allToAllSingle", collective((group, options) => group.allToAllSingle(f32(), f32(), options))],
    ["allReduceCoalesced", collective((group, options) => group.allReduceCoalesced([f32()], options))],
    ["allGatherObject", collective((group, options) => group.allGatherObject(1, options))],
    ["broadcastObject", collective((group, options) => group.broadcastObject(1, { root: 1, ...options }))],
    ["gatherObject", collective((group, options) => group.gatherObject(1, options))],
    ["recv", collective((g, options) => (g.rank === 0 ? g.recv(f32(), 1, options) : g.send(f32(), 0, options)))],
    [
      "recvAnySource",
      collective((g, options) => (g.rank === 0 ? g.recvAnySource(f32(), options) : g.send(f32(), 0, options))),
    ],
  ],
  "MembershipOptions.timeoutMs": [["admit", collective((group, options) => group.admit(options))]],
  "NewGroupOptions.timeoutMs": [
    ["newGroup", collective((group, options) => group.newGroup([0, 1], options))],
    ["split", collective((group, options) => group.split(0, 0, options))],
  ],
  "Work.wait(timeoutMs)": [
    [
      "Work.wait",
      {
        kind: "limit",
        async start(timeoutMs) {
          let end = () => {};
          const promise = new Promise<void>((resolve) => {
            end = resolve;
          });
          return { outcome: Work.fromPromise(promise).wait(timeoutMs), end };
        },
      },
    ],
  ],
  "InitOptions.timeoutMs": [["initProcessGroup: timeoutMs", bringUp("timeoutMs")]],
  "InitOptions.peerTimeoutMs": [["initProcessGroup: peerTimeoutMs", bringUp("peerTimeoutMs")]],
  "HubServer.drained(timeoutMs)": [
    [
      "drained",
      {
        kind: "limit",
        async start(timeoutMs) {
          const hub = await createHub({ port: 0 });
          onTestFinished(() => hub.close());
          const group = await initProcessGroup({ initMethod: `${hub.url}/g`, worldSize: 1, transport: "hub" });
          return { outcome: hub.drained("g", timeoutMs), end: () => group.destroy() };
        },
      },
    ],
  ],
  "HubStoreOptions.timeoutMs": [
    [
      "HubStore.connect",
      {
        kind: "limit",
        async start(timeoutMs) {
          const port = await freePort();
          const store = HubStore.connect(`ws://127.0.0.1:${port}`, { timeoutMs });
          const end = async () => {
            const hub = await createHub({ port });
            onTestFinished(() => hub.close());
            await (await store).close();
          };
          return { outcome: store, end };
        },
      },
    ],
  ],
  "TcpConnectOptions.timeoutMs": [
    [
      "TcpStore.connect",
      {
        kind: "limit",
        async start(timeoutMs) {
          const port = await freePort();
          const store = TcpStore.connect({ port, timeoutMs });
          const end = async () => {
            const server = await TcpStore.listen({ port });
            onTestFinished(() => server.close());
            await (await store).close();
          };
          return { outcome: store, end };
        },
      },
    ],
  ],
  "TcpListenOptions.timeoutMs": [
    [
      "TcpStore.listen",
      {
        kind: "limit",
        async start(timeoutMs) {
          const port = await freePort();
          const store = TcpStore.listen({ port, worldSize: 2, timeoutMs });
          const end = async () => {
            const other = await TcpStore.connect({ port, worldSize: 2 });
            await other.close();
            await (await store).close();
          };
          return { outcome: store, end };
        },
      },
    ],
  ],
  "StoreCollectives.barrier(timeoutMs)": [["barrier", overStore((on, ms) => on.barrier("key", ms))]],
  "StoreCollectives.allSum(timeoutMs)": [["allSum", overStore((on, ms) => on.allSum("key", 1, ms))]],
  "StoreCollectives.broadcastRecv(timeoutMs)": [["broadcastRecv", overStore((on, ms) => on.broadcastRecv("key", ms))]],
  "StoreCollectives.gatherRecv(timeoutMs)": [["gatherRecv", overStore((on, ms) => on.gatherRecv("key", "0", ms))]],
  "StoreCollectives.scatterRecv(timeoutMs)": [["scatterRecv", overStore((on, ms) => on.scatterRecv("key", ms))]],
  "StoreCollectives.allGather(timeoutMs)": [["allGather", overStore((on, ms) => on.allGather("key", "0", ms))]],
  "HashStore.get(timeoutMs)": [
    [
      "HashStore.get",
      storeCall(
        () => new HashStore(),
        (store, ms) => (store as HashStore).get("late", ms),
      ),
    ],
  ],
  "HashStore.multiGet(timeoutMs)": [
    [
      "HashStore.multiGet",
      storeCall(
        () => new HashStore(),
        (store, ms) => (store as HashStore).multiGet(["late"], ms),
      ),
    ],
  ],
  "Store.timeoutMs": storePlaces.filter(([name]) => name.endsWith(".timeoutMs")),
  "Store.wait(timeoutMs)": storePlaces.filter(([name]) => name.includes(".wait")),
  "QueuePopOptions.timeoutMs": storePlaces.filter(([name]) => name.includes("queuePop")),
};

/** Where a timeout is told, or where the library itself passes one that it has checked. */
const TOLD = [
  ...[
    "EpochRequest.timeoutMs",
    "SpaceStore.get(timeoutMs)",
    "SpaceStore.wait(timeoutMs)",
    "SpaceStore.multiGet(timeoutMs)",
  ],
  ...[
    "TcpClient.timeoutMs",
    "TcpClient.wait(timeoutMs)",
    "TcpClientOptions.timeoutMs",
    "SharedServer.joined(timeoutMs)",
  ],
  ...["GroupInfo.timeoutMs", "ProcessGroup.timeoutMs", "StoreCaller.call(timeoutMs)"],
  ...["RecordedGroup.timeoutMs", "TraceGroup.timeoutMs", "TraceEntry.timeoutMs"],
  ...["BackendContext", "Membership", "CallRunnerOptions", "ProcessGroupOptions", "ChildSettings", "TurnGroup"].map(
    (name) => `${name}.timeoutMs`,
  ),
];

/** Parts of a TcpStore that the checker of types reaches by its private fields. */
const isPrivate = (name: string) => /^(TcpClient|TcpClientOptions|Connection|SharedServer)\b/.test(name);

function bringUp(option: "timeoutMs" | "peerTimeoutMs"): Place {
  return {
    kind: "limit",
    async start(timeoutMs) {
      const initMethod = `memory://timeouts-${names++}`;
      const join = (rank: number) => initProcessGroup({ initMethod, rank, worldSize: 2, [option]: timeoutMs });
      const first = join(0);
      const end = async () => {
        const groups = await Promise.all([first, join(1)]);
        await Promise.all(groups.map((group) => group.barrier()));
        await Promise.all(groups.map((group) => group.destroy()));
      };
      return { outcome: first, end };
    },
  };
}

/** Every timeout that the public types of Node's entries have, as "Type.property" or "Type.method(parameter)". */
function publicTimeouts(): Set<string> {
  const entries = ["src/node/index.ts", "src/node/hub.ts", "src/browser/index.ts"].map(path);
  const options = {
    noEmit: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    skipLibCheck: true,
  };
  const program = ts.createProgram(entries, { ...options, module: ts.ModuleKind.NodeNext });
  const checker = program.getTypeChecker();
  const found = new Set<string>();
  const seen = new Set<ts.Symbol>();
  const isOurs = (node: ts.Node) => node.getSourceFile().fileName.includes("/src/");
  const typesIn = (node: ts.Node) => {
    const visit = (inner: ts.Node): void => {
      if (ts.isTypeReferenceNode(inner) || ts.isExpressionWithTypeArguments(inner)) {
        const name = ts.isTypeReferenceNode(inner) ? inner.typeName : inner.expression;
        const symbol = checker.getSymbolAtLocation(name);
        if (symbol) declare(symbol);
      }
      if (!ts.isBlock(inner)) ts.forEachChild(inner, visit);
    };
    visit(node);
  };
  const declare = (symbol: ts.Symbol): void => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    if (seen.has(target)) return;
    seen.add(target);
    for (const node of target.declarations ?? []) {
      if (!isOurs(node)) continue;
      if (ts.isFunctionDeclaration(node)) addParameters(target.name, node);
      if (ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)) {
        for (const member of node.members) {
          const name = member.name?.getText() ?? "";
          const flags = ts.canHaveModifiers(member) ? ts.getCombinedModifierFlags(member as ts.Declaration) : 0;
          if (name.startsWith("#") || flags & ts.ModifierFlags.Private) continue;
          if (/timeout/i.test(name)) found.add(`${target.name}.${name}`);
          if (ts.isMethodDeclaration(member) || ts.isMethodSignature(member)) {
            addParameters(`${target.name}.${name}`, member);
          }
        }
      }
      typesIn(node);
    }
  };
  const addParameters = (owner: string, { parameters }: ts.SignatureDeclaration): void => {
    for (const { name } of parameters) if (/timeout/i.test(name.getText())) found.add(`${owner}(${name.getText()})`);
  };
  for (const entry of entries) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
    for (const symbol of checker.getExportsOfModule(module)) declare(symbol);
  }
  return found;
}

const places = Object.values(PLACES).flat();

describe.each(places)("%s", (_name, { kind, start }) => {
  it.each(BAD)("refuses %d with a RangeError", async (timeoutMs) => {
    const refused = start(timeoutMs).then(({ outcome }) => outcome);
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(new RegExp(`is ${timeoutMs}: pass a number of milliseconds`));
  });

  it.each(kind === "limit" ? [0, ...LONG] : LONG)("does not end early at %d", async (timeoutMs) => {
    const { outcome, end } = await start(timeoutMs);
    let early: unknown = null;
    outcome.then(
      (value) => {
        early ??= ["resolved", value];
      },
      (error) => {
        early ??= error;
      },
    );
    await timersOfOneMillisecondHaveFired();
    expect(early).toBe(null);
    await end();
    await outcome;
  });

  if (kind === "store") {
    it("looks once at 0", async () => {
      const { outcome } = await start(0);
      await expect(outcome).rejects.toThrow(TimeoutError);
      const { outcome: found, end } = await start(1_000);
      await end();
      await found;
    });
  }
});

describe("the places", () => {
  it("are all that the public types have", () => {
    const inherited = (name: string) =>
      name.replace(/^(Hash|File|Prefix|Hub|Redis|Tcp)Store\.(timeoutMs|wait)/, "Store.$2");
    const found = [...publicTimeouts()].filter((name) => !TOLD.includes(name) && !isPrivate(name)).map(inherited);
    const known = new Set(Object.keys(PLACES).map((name) => name.replace("HubServer", "HubHandle")));
    expect([...new Set(found)].filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => !found.includes(name))).toEqual([]);
  });

  it("are on no flag of the command", () => {
    const folder = path("src/cli/commands");
    const flags = readdirSync(folder).flatMap(
      (file) => readFileSync(`${folder}/${file}`, "utf8").match(/--[\w-]+/g) ?? [],
    );
    expect(flags.length).toBeGreaterThan(20);
    expect(flags.filter((flag) => /timeout|-ms$/.test(flag))).toEqual([]);
  });
});

describe("inside", () => {
  it("Deadlines let no long delay expire early", async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(LONG), async (delays) => {
        const deadlines = new Deadlines();
        let expired = 0;
        for (const delay of delays) deadlines.set(delay, () => expired++);
        await new Promise<void>((resolve) => deadlines.set(5, resolve));
        deadlines.close();
        expect(expired).toBe(0);
      }),
      { numRuns: 10 },
    );
  });

  it.each(LONG)("watchLiveness() pings nobody early at %d ms", async (timeoutMs) => {
    let pings = 0;
    const stop = watchLiveness({ bytesRead: 0, isPaused: false, ping: () => pings++ }, timeoutMs, () => {
      throw new Error("it was silent for no time");
    });
    await timersOfOneMillisecondHaveFired();
    stop();
    expect(pings).toBe(0);
  });
});
