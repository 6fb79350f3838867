/**
 * Bring-up: from options to a group.
 *
 *   1. meet: find the store (a hub's, a file's, memory's, or the caller's) and, with a hub, this rank's number
 *   2. roster: every rank says what it is and where it listens
 *   3. link: the higher rank of each pair connects to the lower one, or the hub relays; ranks of one host open each other's
 *      files
 *   4. a World over the mesh of these links, and in it the group of all ranks
 *
 * Whatever fails ends what was begun, in reverse order.
 */

import { NoAdapterError, UnsupportedError } from "../errors.ts";
import { createCpuExecutor } from "../executor/cpu/cpu-executor.ts";
import type { GpuExecutor, WebgpuExecutorOptions } from "../executor/webgpu/webgpu.ts";
import { ProcessGroup } from "../group/process-group.ts";
import type { HubConnection } from "../link/hub/connection.ts";
import { HubLinks } from "../link/hub/links.ts";
import { HubFolds } from "../messaging/hub-folds.ts";
import { Mesh } from "../messaging/mesh.ts";
import type { Platform } from "../platform.ts";
import { type InitOptions, type InternalOptions, resolveSettings, type Settings } from "./init-options.ts";
import { World } from "./job.ts";
import { linkAll } from "./linking.ts";
import type { SharedFileHere } from "./media/files.ts";
import type { Threads } from "./media/threads.ts";
import { meet, type Undo } from "./meeting.ts";
import type { NcclHere } from "./nccl/offer.ts";
import { exchangeRoster, type RosterEntry } from "./roster.ts";

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
  const loadNccl = internal.loadNccl ?? platform.loadNccl;
  const ncclHere: NcclHere =
    loadNccl || settings.backend === "nccl"
      ? await (await import("./nccl/offer.ts")).openNccl(settings, loadNccl)
      : { found: null, offer: { missing: `a ${platform.runtime} reaches no CUDA device` } };
  const meeting = await meet(platform, settings, internal, undo);
  const { rank, store, hub, hosted } = meeting;

  const listens = platform.canListen && !meeting.links && settings.transport !== "hub";
  const listening = listens
    ? await (await import("./media/sockets.ts")).listen(platform, settings, meeting, undo)
    : null;
  const sharedFile: SharedFileHere = listening
    ? (await import("./media/files.ts")).offerSharedFile(platform, settings, undo)
    : { found: null, offer: { missing: "it has no direct links" } };
  const own: RosterEntry = {
    rank,
    runtime: platform.runtime,
    version: platform.version,
    hostId: platform.hostId,
    listenUrl: listening?.url ?? null,
    inMemory: meeting.links !== null,
    thread: threads && { job: threads.job.id, index: threads.job.index },
    sharedFile: sharedFile.offer,
    shares: [],
    arithmeticIds: gpu ? [cpu.arithmeticId, gpu.arithmeticId] : [cpu.arithmeticId],
    cuda: ncclHere.offer,
    segmentBytes: internal.segmentBytes ?? null,
  };
  const offers = await exchangeRoster(store, "roster", own, worldSize, timeoutMs);
  const wantsFiles = settings.transport === "shared-file" || offers.some((entry) => "path" in entry.sharedFile);
  const files = wantsFiles
    ? await (await import("./media/files.ts")).openSharedFiles(sharedFile, offers, rank, store, settings, undo)
    : { roster: offers, links: null, reason: "missing" in sharedFile.offer ? sharedFile.offer.missing : "" };
  const { roster } = files;
  const { found } = ncclHere;
  const hasCuda = roster.some(({ cuda }) => "devices" in cuda);
  const ncclRanks = hasCuda ? new (await import("./nccl/ranks.ts")).NcclRanks(roster) : null;
  const { nccl, reason: ncclReason } =
    found && ncclRanks
      ? found.code.chooseNccl(found, ncclRanks, rank, settings)
      : { nccl: null, reason: ncclRanks?.objection ?? noNccl(roster[0]!) };
  const relayed = hub ? new HubLinks(hub) : null;
  const folds = hub ? new HubFolds(hub) : null;
  const openAreas = files.links && (await import("./media/areas.ts")).areaOpener(files.links, cpu);
  const makers = { relayed, threads, byFile: files.links };
  const links = meeting.links ?? (await linkAll(roster, rank, listening, makers, undo));
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
    ncclRanks,
    fileReason: files.reason,
    store,
    logger,
    timeoutMs,
    deterministic: settings.deterministic,
    algorithm: settings.algorithm,
    segmentBytes: roster[0]!.segmentBytes,
    segmentsInFlight: internal.segmentsInFlight ?? null,
    onTransfer: internal.onTransfer,
    makeBackend: settings.makeBackend,
    threads,
    openAreas,
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
): Promise<Threads | null> {
  const forced = transport === "shared-memory";
  const wanted = forced || (transport === "auto" && method.protocol !== "memory:" && internal.wasm !== false);
  const job = wanted ? platform.threadJob() : null;
  const threads = job && (await (await import("./media/threads.ts")).Threads.join(job));
  if (forced && !threads) {
    throw new UnsupportedError(
      job
        ? "threads share WebAssembly memory, and WebAssembly may not run here"
        : 'transport "shared-memory" is for threads of one job: start the ranks with "webccl run --threads"',
    );
  }
  return threads;
}

/** The GPU that the settings want, if any, and why. Its code is loaded only then. */
async function openGpu(
  platform: Platform,
  { backend, device }: Settings,
  { f16 = "auto", onReadback }: InternalOptions,
): Promise<{ gpu: GpuExecutor | null; reason: string }> {
  const open = async (options: WebgpuExecutorOptions) =>
    (await import("../executor/webgpu/webgpu.ts")).createWebgpuExecutor({ ...options, f16, onReadback });
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

/** Why a job in which no rank has CUDA devices does not run on NCCL. */
function noNccl({ rank, cuda }: RosterEntry): string {
  return `rank ${rank} has no NCCL: ${"missing" in cuda && cuda.missing}`;
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
