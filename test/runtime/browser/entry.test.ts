import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { connectWebSocket } from "../../../src/node/websocket-client.ts";
import { allocSums, expectedSums } from "../../helpers/alloc-sums.ts";
import { pathProxy } from "../../helpers/path-proxy.ts";
import { makeCertificate } from "../../security/certificate.ts";
import type { Job } from "../job.ts";
import { bundleInParts } from "./bundle.ts";
import type { PageKind } from "./page-server.ts";
import { Pages } from "./pages.ts";
import { pagesAndHub } from "./pages-and-hub.ts";

const ENTRY = fileURLToPath(new URL("../../../src/browser/index.ts", import.meta.url));
const TOKEN = "a token of this test";
const MOST_GZIPPED_BYTES = 52 * 1024;
/** Most gzipped bytes of each package that is bundled with the entry or with what it loads, which is counted apart. */
const PACKAGES = { msgpackr: 14 * 1024, "noble-hashes": 4 * 1024 };
/** What is loaded when it is wanted: each with who wants it. */
const WANTED = {
  "agree-on-cause": "a group that dies",
  "backend-set": "a group with several backends",
  checksums: "a connection without TLS",
  choice: "a rank that has NCCL; no page has",
  "control-calls": "StoreCollectives",
  "create-executor": "GPUBuffers",
  credential: "a group with a token, or a rank with a ticket",
  dump: "group.dumpTrace()",
  elementwise: 'accumulate: "f32"',
  enter: "a rank that joins a group that runs",
  farewell: "a bring-up that fails when there are links",
  gpu: "a page that opens a GPU",
  "hosted-hub": "ranks whose rank 0 hosts the hub",
  hub: "a page that meets at a hub",
  "hub-meeting": "ranks that meet at a hub",
  "hub-store": "HubStore.connect",
  "ice-servers": "a rank that gives iceServers",
  "join-options": "a rank that says whether it joins",
  knocks: "a rank that joins, or a group whose membership changes",
  links: "memory://",
  mapped: "a rank that may map memory; no page does",
  memory: "memory://",
  "message-port": "a page that meets at a hub",
  "mismatch-errors": "ranks whose calls differ",
  "missing-ranks": "ranks that wait for others for a second",
  offer: "a rank that may have NCCL; no page has",
  "own-backend": "a backend of one's own, and WEBCCL_DEBUG=DETAIL",
  "page-store": "ranks that meet in their page",
  "plain-loops": "a page without WebAssembly",
  "plain-xxh64": "such a page, on a connection without TLS",
  "port-exchange": "a page that meets at a hub",
  probes: "a call that does not end",
  processes: "a rank that can listen; no page can",
  ranks: "a job in which some rank has CUDA devices",
  "rare-loops": "8-bit floats and custom operations",
  "self-test": "a rank, as it opens its executor",
  settle: "a rank whose media have told their offers",
  "space-store": "HashStore, and ranks of one page",
  "spawn-ranks": "a page that starts ranks",
  "split-plan": "a group that is split",
  stats: "group.stats()",
  "store-meeting": "ranks that meet at no hub",
  succession: "a group whose membership changes",
  successor: "a group that shrinks or lets ranks in",
  tabs: "a page that meets at a hub",
  "tensor-hash": "hashTensors",
  threads: "a rank that is a thread",
  "traced-job": "a rank that leaves traces in a folder; no page does",
  "wasm-kernels": "a page where WebAssembly may run",
  "wasm-many": "a fold of more than two operands",
  webrtc: "a page that meets at a hub",
  websocket: "a group whose hub moves, and whose ranks listen",
  "why-not-in": "a page whose connection fails",
};

/** The algorithms over messages and at a hub: each is loaded by the first call that it runs. */
const ALGORITHMS = ["messages", "hub"].flatMap((folder) =>
  readdirSync(new URL(`../../../src/algorithm/${folder}/`, import.meta.url)).map((file) => file.replace(".ts", "")),
);

describe("the browser entry", () => {
  it("is at most 52 KiB gzipped, apart from packages and what is loaded when wanted, and holds no eval", async () => {
    const { entry, wanted, bundled } = await bundleInParts(ENTRY);
    const sizes = [...wanted].map(([name, { gzippedBytes }]) => `${name} ${gzippedBytes}`);
    console.log(`browser entry: ${entry.gzippedBytes} bytes gzipped; loaded when wanted: ${sizes.join(", ")}`);
    expect(entry.gzippedBytes).toBeLessThanOrEqual(MOST_GZIPPED_BYTES);
    const others = [...wanted.keys()].filter((name) => !ALGORITHMS.includes(name));
    expect(others.sort()).toEqual(Object.keys(WANTED));
    const packages = [...bundled].map(([name, { gzippedBytes }]) => `${name} ${gzippedBytes}`);
    console.log(`packages: ${packages.join(", ")}`);
    expect([...bundled.keys()]).toEqual(Object.keys(PACKAGES));
    for (const [name, most] of Object.entries(PACKAGES)) {
      expect(bundled.get(name)?.gzippedBytes, name).toBeLessThanOrEqual(most);
    }
    expect(entry.code).toMatch(/packages\/msgpackr/);
    expect(entry.code).not.toMatch(/packages\/noble/);
    for (const { code } of [entry, ...wanted.values(), ...bundled.values()]) {
      expect(code).not.toMatch(/new Function\b|\bFunction\(|\beval\(/);
      expect(code).not.toMatch(/\brequire\(|node:/);
    }
  });
});

describe("a page", () => {
  const place = pagesAndHub(TOKEN);
  let groups = 0;

  /** A page and a Node rank add up what they have. */
  async function sumWith(kind: PageKind, inWorker: boolean) {
    const initMethod = `${place.hub.url}/sum-${groups++}`;
    const options = { initMethod, worldSize: 2, token: TOKEN, timeoutMs: 20_000 };
    const job: Job = { task: { name: "sum" }, inWorker, options: { ...options, rank: 0 } };
    const [outcome, tensor] = await Promise.all([
      place.pages.run(job, kind),
      initProcessGroup({ ...options, rank: 1 }).then(async (group) => {
        const mine = new Float32Array(100_000).fill(2);
        await group.allReduce(mine);
        expect(await allocSums(group, 33)).toEqual(expectedSums(2));
        await group.destroy();
        return mine;
      }),
    ]);
    expect(tensor[0]).toBe(3);
    return outcome;
  }

  const WASM = "'wasm-unsafe-eval'";
  for (const inWorker of [false, true]) {
    const where = inWorker ? "a module worker" : "a page";
    it(`runs in ${where} under a strict policy, without shared memory`, async () => {
      expect(await sumWith({ scripts: WASM }, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: false, sums: expectedSums(2), isolated: false, shares: false },
        executor: "wasm-simd, memory not shared",
      });
    });

    it(`runs in ${where} that shares memory, which never reaches a WebSocket uncopied`, async () => {
      expect(await sumWith({ scripts: WASM, isolated: true }, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: true, sums: expectedSums(2), isolated: true, shares: true },
        executor: "wasm-simd",
      });
    });

    it(`runs in ${where} whose policy blocks WebAssembly too`, async () => {
      expect(await sumWith({}, inWorker)).toMatchObject({
        ...{ first: 3, last: 3, sharedTensor: false, sums: expectedSums(2) },
        executor: expect.stringMatching(/^plain loops: WebAssembly is blocked/),
      });
    });
  }

  /** What a page that wants to be rank 0 of 2 says. */
  async function complaint(change: Partial<Job["options"]>, kind: PageKind = {}): Promise<string> {
    const options = {
      initMethod: `${place.hub.url}/bad-${groups++}`,
      rank: 0,
      worldSize: 2,
      token: TOKEN,
      timeoutMs: 1_500,
    };
    const outcome = await place.pages.run({ task: { name: "sum" }, options: { ...options, ...change } }, kind);
    return "error" in outcome ? String(outcome.error) : "nothing";
  }

  it("says what is wrong with an address, a token, a size or a rank, and what to do", async () => {
    expect(await complaint({ initMethod: "http://127.0.0.1:1/g" })).toMatch(
      /^RangeError: .*use env:\/\/.*ws:\/\/host:port/,
    );
    expect(await complaint({ initMethod: "ws://127.0.0.1:1/g" })).toMatch(
      /^TimeoutError: nothing answered .* Is the hub/,
    );
    expect(await complaint({ token: "wrong" })).toMatch(/^AdmissionError: .*token is not the hub's/);
    const { socket } = await connectWebSocket(
      place.hub.url,
      { group: "taken", rank: 0, worldSize: 2, purpose: "hub", checksums: false },
      { token: TOKEN, timeoutMs: 5_000 },
    );
    const initMethod = `${place.hub.url}/taken`;
    expect(await complaint({ initMethod })).toMatch(/^AdmissionError: .*rank 0 .* is already taken/);
    expect(await complaint({ initMethod, rank: 1, worldSize: 3 })).toMatch(
      /^AdmissionError: .*world size 2, .* says 3/,
    );
    socket.terminate();
  });

  it.each([false, true])("says which origin a hub must let in, to a page that is isolated: %s", async (isolated) => {
    const strict = await startHub({ port: 0, origins: ["https://elsewhere.example"] });
    const outcome = await complaint({ initMethod: `${strict.url}/g`, timeoutMs: 60_000 }, { isolated });
    expect(outcome).toContain(`start the hub with --origin ${place.pages.origin}`);
    await strict.close();
  });

  it("reaches a hub at a path of a proxy, once the proxy has stopped saying that it is not there", async () => {
    const refusals = [502, 503, 504, 429];
    const asked: string[] = [];
    const proxy = await pathProxy(place.hub.port, (path) => {
      asked.push(path);
      if (!path.startsWith("/services/hub/")) return { status: 404 };
      const status = refusals.shift();
      return status === undefined ? { path: path.replace("/services/hub", "") } : { status };
    });
    const options = { initMethod: `${proxy}/services/hub/proxied`, worldSize: 2, token: TOKEN, timeoutMs: 30_000 };
    const [outcome] = await Promise.all([
      place.pages.run({ task: { name: "sum" }, options: { ...options, rank: 0 } }),
      initProcessGroup({ ...options, rank: 1 }).then(async (group) => {
        expect(group.name).toBe("proxied");
        await group.allReduce(new Float32Array(100_000));
        await allocSums(group, 33);
        await group.destroy();
      }),
    ]);
    expect(outcome).toMatchObject({ first: 1, runtime: "browser" });
    expect(refusals).toEqual([]);
    for (const path of asked) expect(path).toMatch(/^\/services\/hub\/(\?why-not=.*)?$/);
  });

  it("says that a hub went away", async () => {
    const brief = await startHub({ port: 0, token: TOKEN, origins: [place.pages.origin] });
    const waiting = complaint({ initMethod: `${brief.url}/g`, timeoutMs: 20_000 });
    await vi.waitFor(() => expect(brief.stats.members).toBe(1), { timeout: 10_000 });
    await brief.close();
    expect(await waiting).toMatch(/^HubLostError: the link to the hub at ws:.* closed/);
  });
});

describe("a page of another host than the hub's", () => {
  /** What a page that joins as rank 0 of 2 says. */
  async function complaint(pages: Pages, initMethod: string): Promise<string> {
    const options = { initMethod, rank: 0, worldSize: 2, timeoutMs: 5_000 };
    const outcome = await pages.run({ task: { name: "sum" }, options });
    await pages.close();
    return "error" in outcome ? String(outcome.error) : "nothing";
  }

  it("is told to join by wss:// if it came over https", async () => {
    const pages = await Pages.open({ host: "page.example", tls: makeCertificate() });
    expect(await complaint(pages, "ws://hub.example:1/g")).toMatch(
      /^AdmissionError: this page may not open ws:.* over https joins by wss:\/\/ only \(webccl hub --cert --key\)/,
    );
  });

  it("is told with what the hub must be started if it came over http", async () => {
    const hub = await startHub({ port: 0 });
    const pages = await Pages.open({ host: "page.example" });
    expect(await complaint(pages, `ws://hub.example:${hub.port}/g`)).toContain(
      `start the hub with --origin ${pages.origin} --allow-host hub.example`,
    );
    await hub.close();
  });

  it("joins once the hub is started so", async () => {
    const pages = await Pages.open({ host: "page.example" });
    const hub = await startHub({ port: 0, origins: [pages.origin], allowHosts: ["hub.example"] });
    const options = { initMethod: `ws://hub.example:${hub.port}/g`, rank: 0, worldSize: 1, timeoutMs: 5_000 };
    const outcome = await pages.run({ task: { name: "sum" }, options }, { scripts: "'wasm-unsafe-eval'" });
    expect(outcome).toMatchObject({ last: 1, runtime: "browser" });
    await pages.close();
    await hub.close();
  });
});
