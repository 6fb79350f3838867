/**
 * Bring-up: from options to a group.
 *
 *   1. meet: find the store (a hub's, a file's, memory's, or the caller's) and, with a hub, this rank's number
 *   2. roster: every rank says what it is and where it listens
 *   3. link: the higher rank of each pair connects to the lower one, or the hub relays
 *   4. a World over the mesh of these links, and in it the group of all ranks
 *
 * Whatever fails ends what was begun, in reverse order.
 */
import { NoAdapterError, StoreError, TimeoutError, UnsupportedError } from "./errors.ts";
import { createCpuExecutor, createSharedCpuExecutor } from "./executor/cpu.ts";
import type { GpuExecutor, WebgpuExecutorOptions } from "./executor/webgpu.ts";
import {
  type InitOptions,
  type InternalOptions,
  masterAddress,
  resolveSettings,
  type Settings,
} from "./init-options.ts";
import { chooseNccl, openNccl } from "./nccl-offer.ts";
import type { HubHandle, Platform, ThreadJob } from "./platform.ts";
import { ProcessGroup } from "./process-group.ts";
import { exchangeRoster, linkBetween, type RosterEntry } from "./roster.ts";
import { HashStore } from "./store/hash-store.ts";
import { HubStore } from "./store/hub-store.ts";
import { PrefixStore } from "./store/prefix-store.ts";
import type { Store } from "./store/store.ts";
import { HubConnection } from "./transport/hub-connection.ts";
import { HubFolds } from "./transport/hub-folds.ts";
import { HubLinks } from "./transport/hub-links.ts";
import { joinMemoryJob } from "./transport/memory.ts";
import { Mesh } from "./transport/mesh.ts";
import { SharedDirectory } from "./transport/shared-directory.ts";
import { SharedMemoryLinks } from "./transport/shared-memory.ts";
import type { Link, Socket } from "./transport/transport.ts";
import { WebSocketLink } from "./transport/websocket.ts";
import { World, type WorldThreads } from "./world.ts";

const DEFAULT_SEGMENT_BYTES = 512 * 1024;
const DEFAULT_SEGMENTS_IN_FLIGHT = 4;

/** Undoes one step of bring-up. */
type Undo = () => Promise<void> | void;

/** Where the ranks meet, once met. */
interface Meeting {
  readonly rank: number;
  readonly epoch: number;
  readonly store: Store;
  readonly hub: HubConnection | null;
  /** The hub, if this rank hosts it. */
  readonly hosted: HubHandle | null;
  /** All links, where they need no bring-up. */
  readonly links: ReadonlyMap<number, Link> | null;
  /** Gives up what was taken for the meeting. */
  leave?(): Promise<void> | void;
}

/** `initProcessGroup` on one platform. */
export async function initProcessGroupOn(
  platform: Platform,
  options: InitOptions & InternalOptions,
): Promise<ProcessGroup> {
  const settings = resolveSettings(options, platform);
  const undo: Undo[] = [];
  try {
    settings.signal?.throwIfAborted();
    return await bringUp(platform, settings, options, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

async function bringUp(
  platform: Platform,
  settings: Settings,
  internal: InternalOptions,
  undo: Undo[],
): Promise<ProcessGroup> {
  const { worldSize, logger, groupName, timeoutMs } = settings;
  const threads = await joinThreads(platform, settings, internal);
  const cpu =
    threads?.executor ?? (await createCpuExecutor(internal.wasm === undefined ? {} : { wasm: internal.wasm }));
  undo.push(() => cpu.dispose());
  const { gpu, reason } = await openGpu(platform, settings, internal);
  if (gpu) undo.push(() => gpu.dispose());
  const ncclHere = await openNccl(platform, settings, internal.loadNccl);
  const meeting = await meet(platform, settings, internal, undo);
  const { rank, store, hub, hosted } = meeting;

  const listening =
    meeting.links || settings.transport === "hub" ? null : await listen(platform, settings, meeting, undo);
  const own: RosterEntry = {
    rank,
    runtime: platform.runtime,
    version: platform.version,
    hostId: platform.hostId,
    listenUrl: listening?.url ?? null,
    inMemory: meeting.links !== null,
    thread: threads && { job: threads.job.id, index: threads.job.index },
    arithmeticIds: gpu ? [cpu.arithmeticId, gpu.arithmeticId] : [cpu.arithmeticId],
    cuda: ncclHere.offer,
    segmentBytes: internal.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
  };
  const roster = await exchangeRoster(store, own, worldSize, timeoutMs);
  const { nccl, reason: ncclReason } = chooseNccl(ncclHere, roster, rank, settings);
  const relayed = hub ? new HubLinks(hub) : null;
  const folds = hub ? new HubFolds(hub) : null;
  const links = meeting.links ?? (await linkAll(platform, settings, roster, rank, listening, relayed, threads, undo));
  const mesh = new Mesh({ rank, size: worldSize, epoch: meeting.epoch, links, logger });

  const world = new World({
    rank,
    mesh,
    hub: folds,
    roster,
    cpu,
    gpu,
    gpuReason: reason,
    nccl,
    ncclReason,
    store,
    logger,
    timeoutMs,
    deterministic: settings.deterministic,
    algorithm: settings.algorithm,
    segmentBytes: roster[0]!.segmentBytes,
    segmentsInFlight: internal.segmentsInFlight ?? DEFAULT_SEGMENTS_IN_FLIGHT,
    onTransfer: internal.onTransfer,
    makeBackend: settings.makeBackend,
    threads,
    onLeave: async () => {
      hub?.goodbye();
      hub?.close();
      await listening?.close();
      await store.close();
      await meeting.leave?.();
      await hosted?.drained(groupName, settings.peerTimeoutMs);
      await hosted?.close();
    },
  });
  const globalRanks = roster.map((entry) => entry.rank);
  const group = new ProcessGroup({ world, name: groupName, description: groupName, globalRanks, rank });
  mesh.start();
  if (hub) followHub(hub, relayed!, folds!, mesh);
  for (const { rank: other, link } of group.info().ranks) logger.info(`rank ${rank} to rank ${other}: ${link}`);
  return group;
}

/** This rank's part of what the threads of its job share; null if it is no such thread, or another transport is asked for. */
async function joinThreads(
  platform: Platform,
  { transport, method }: Settings,
  internal: InternalOptions,
): Promise<(WorldThreads & { job: ThreadJob }) | null> {
  const forced = transport === "shared-memory";
  const wanted = forced || (transport === "auto" && method.protocol !== "memory:" && internal.wasm !== false);
  const job = wanted ? platform.threadJob() : null;
  const shared = job && (await createSharedCpuExecutor(job.memory));
  if (forced && !shared) {
    throw new UnsupportedError(
      job
        ? "threads share WebAssembly memory, and WebAssembly may not run here"
        : 'transport "shared-memory" is for threads of one job: start the ranks with "webccl run --threads"',
    );
  }
  if (!job || !shared) return null;
  const { executor, heap } = shared;
  return { job, executor, heap, directory: new SharedDirectory(heap), cores: job.cores, turn: job.turn };
}

/** The GPU that the settings want, if any, and why. Its code is loaded only then. */
async function openGpu(
  platform: Platform,
  { backend, device }: Settings,
  { f16 = "auto" }: InternalOptions,
): Promise<{ gpu: GpuExecutor | null; reason: string }> {
  const open = async (options: WebgpuExecutorOptions) =>
    (await import("./executor/webgpu.ts")).createWebgpuExecutor({ ...options, f16 });
  if (device) return { gpu: await open({ device }), reason: "the device given to initProcessGroup" };
  if (backend === "cpu" || backend === "nccl") return { gpu: null, reason: `backend is "${backend}"` };
  if (backend === "auto" && !platform.hasBuiltInGpu) {
    return { gpu: null, reason: 'none was asked for: pass backend: "webgpu" or a device' };
  }
  try {
    return { gpu: await open(await platform.openGpu()), reason: "an adapter of this runtime" };
  } catch (error) {
    if (backend === "webgpu" || !(error instanceof NoAdapterError)) throw error;
    return { gpu: null, reason: error.message };
  }
}

/** Finds the store, and this rank's number where a hub gives it. */
async function meet(platform: Platform, settings: Settings, internal: InternalOptions, undo: Undo[]): Promise<Meeting> {
  const { method, store, rank, worldSize, groupName, timeoutMs } = settings;
  const alone = { epoch: 0, hub: null, hosted: null, links: null };
  if (store) return { ...alone, rank: rank!, store: new PrefixStore(groupName, store) };
  switch (method.protocol) {
    case "memory:": {
      const name = method.href.slice("memory://".length);
      const place = joinMemoryJob(name, rank, worldSize, internal.memory ?? {}, () => new HashStore());
      undo.push(() => place.leave());
      return { ...alone, ...place, store: new PrefixStore(groupName, place.shared) };
    }
    case "file:": {
      const file = await platform.openFileStore(decodeURIComponent(method.pathname), worldSize);
      const leave = () => file.close();
      undo.push(leave);
      file.timeoutMs = timeoutMs;
      return { ...alone, rank: rank!, store: new PrefixStore(groupName, file), leave };
    }
    case "ws:":
    case "wss:":
      return joinHub(platform, settings, `${method.protocol}//${method.host}`, null, undo);
    default: {
      const address = method.protocol === "env:" ? masterAddress(platform) : tcpAddress(method);
      const scheme = settings.listen.tls ? "wss" : "ws";
      const hosted = rank === 0 ? await host(platform, settings, address, undo) : null;
      return joinHub(platform, settings, hosted?.url ?? `${scheme}://${address.host}:${address.port}`, hosted, undo);
    }
  }
}

function tcpAddress({ hostname, port }: URL): { host: string; port: number } {
  return { host: hostname || "127.0.0.1", port: port === "" ? 29500 : Number(port) };
}

async function host(
  platform: Platform,
  { token, listen: { tls }, logger }: Settings,
  address: { host: string; port: number },
  undo: Undo[],
): Promise<HubHandle> {
  const hub = await platform.startHub({
    ...address,
    hostRank: 0,
    logger,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  });
  undo.push(() => hub.close());
  return hub;
}

async function joinHub(
  platform: Platform,
  { rank, worldSize, groupName, token, timeoutMs, signal }: Settings,
  url: string,
  hosted: HubHandle | null,
  undo: Undo[],
): Promise<Meeting> {
  const hello = { group: groupName, rank, worldSize, purpose: "hub" as const };
  const { socket, welcome } = await platform.connect(url, hello, { token, timeoutMs, signal });
  const hub = new HubConnection(socket, welcome, url);
  undo.push(() => {
    hub.goodbye();
    hub.close();
  });
  const store = new HubStore(hub);
  store.timeoutMs = timeoutMs;
  return { rank: welcome.rank, epoch: welcome.epoch, store, hub, hosted, links: null };
}

/** A listener for direct links, and the sockets that came to it. */
interface Listening {
  readonly url: string;
  /** Secret that every rank of this job knows, and nobody else. */
  readonly secret: string;
  /** The socket that `rank` opened. */
  from(rank: number): Promise<Socket>;
  close(): Promise<void>;
}

async function listen(
  platform: Platform,
  { listen: options, logger, groupName }: Settings,
  { store }: Meeting,
  undo: Undo[],
): Promise<Listening | null> {
  if (!platform.canListen) return null;
  const secret = await agreeOnSecret(store);
  const arrived = new Map<number, Socket>();
  const awaited = new Map<number, (socket: Socket) => void>();
  const { host = "127.0.0.1", port = 0, tls, advertise } = options;
  const listener = await platform.listen(
    { host, port, token: secret, logger, ...(tls === undefined ? {} : { tls }) },
    ({ group, rank }, socket) => {
      if (group !== groupName || rank === null) return socket.terminate();
      const waiter = awaited.get(rank);
      if (waiter) waiter(socket);
      else arrived.set(rank, socket);
    },
  );
  undo.push(() => listener.close());
  return {
    url: advertise ?? listener.url,
    secret,
    from: (rank) => {
      const socket = arrived.get(rank);
      return socket ? Promise.resolve(socket) : new Promise((resolve) => awaited.set(rank, resolve));
    },
    close: () => listener.close(),
  };
}

/** The first rank to come makes a random secret; the store shows it to the others. */
async function agreeOnSecret(store: Store): Promise<string> {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return new TextDecoder().decode(await store.compareSet("link-secret", "", hex));
}

async function linkAll(
  platform: Platform,
  settings: Settings,
  roster: readonly RosterEntry[],
  rank: number,
  listening: Listening | null,
  relayed: HubLinks | null,
  threads: WorldThreads | null,
  undo: Undo[],
): Promise<Map<number, Link>> {
  const { groupName, worldSize, timeoutMs, signal, logger } = settings;
  const own = roster[rank]!;
  const links = new Map<number, Link>();
  const pending = new Set<number>();
  undo.push(() => {
    for (const link of links.values()) link.close();
  });

  const connect = async (other: RosterEntry): Promise<Socket> => {
    if (other.rank > rank) return listening!.from(other.rank);
    const hello = { group: groupName, rank, worldSize, purpose: "link" as const };
    const token = listening!.secret;
    const { socket } = await platform.connect(other.listenUrl!, hello, { token, timeoutMs, signal });
    return socket;
  };
  const link = async (other: RosterEntry): Promise<void> => {
    pending.add(other.rank);
    const socket = await connect(other);
    const onError = (error: unknown) => logger.error(`the link to rank ${other.rank} broke the protocol:`, error);
    links.set(other.rank, new WebSocketLink(socket, onError));
    pending.delete(other.rank);
  };

  const byMemory = threads && new SharedMemoryLinks(rank, threads.heap, threads.directory);
  if (byMemory) undo.push(() => byMemory.close());
  const direct: Promise<void>[] = [];
  for (const other of roster) {
    if (other.rank === rank) continue;
    const kind = linkBetween(own, other);
    if (kind === "shared-memory") links.set(other.rank, byMemory!.link(other.rank, other.thread!.index));
    else if (kind === "websocket") direct.push(link(other));
    else if (relayed) links.set(other.rank, relayed.link(other.rank));
    else {
      throw new StoreError(
        `rank ${rank} and rank ${other.rank} cannot reach each other directly, and there is no hub to relay: ` +
          "meet through ws://, tcp:// or env://, or pass listen: { host, advertise }",
      );
    }
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const missingRanks = [...pending].sort((a, b) => a - b);
      const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
      reject(new TimeoutError(text, { group: groupName, rank, missingRanks }));
    }, timeoutMs);
  });
  try {
    await Promise.race([Promise.all(direct), expired]);
  } finally {
    clearTimeout(timer);
  }
  return links;
}

/** What the hub says from now on: frames it relays, ranks that are gone, and its own end. */
function followHub(hub: HubConnection, relayed: HubLinks, folds: HubFolds, mesh: Mesh): void {
  const { hostRank } = hub.welcome;
  hub.start({
    onFrame: (header, payload) => {
      const from = new DataView(header.buffer, header.byteOffset).getUint32(4, true);
      relayed.deliver(from, header, payload);
    },
    onFold: (header, payload) => folds.deliver(header, payload),
    onLost: (rank, reason) => mesh.lost(rank, reason),
    onLeft: (rank) => relayed.closed(rank),
    onClosed: () => {
      if (hostRank === null) mesh.hubLost(hub.url);
      else mesh.lost(hostRank, "the connection to the hub in its process closed");
    },
  });
}
