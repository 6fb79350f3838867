/**
 * Bring-up: from options to a group.
 *
 *   1. open: this rank's executors, and NCCL
 *   2. meet: find the store (a hub's, a file's, memory's, or the caller's) and, with a hub, this rank's number
 *   3. roster: every rank says what it is and what its media offer; each pair has the best medium that both have
 *   4. link: each medium makes its links
 *   5. a job over the mesh of these links, and in it the group of all ranks
 *
 * If a step fails, what was begun is undone in reverse order.
 */
import type { ProcessGroup } from "../group/process-group.ts";
import { Mesh } from "../messaging/mesh.ts";
import type { Platform } from "../platform.ts";
import { type Executors, joinThreads, openExecutors } from "./executors.ts";
import { type InitOptions, type InternalOptions, resolveSettings, type Settings } from "./init-options.ts";
import { RankJob } from "./job.ts";
import { linkAll } from "./linking.ts";
import { type Media, openMedia } from "./media/media.ts";
import type { Undo } from "./media/medium.ts";
import { type Meeting, meet } from "./meeting.ts";
import type { NcclHere } from "./nccl/contract.ts";
import { agreeOnNccl, openNccl } from "./nccl/nccl.ts";
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
    return await bringUp(platform, settings, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

async function bringUp(platform: Platform, settings: Settings, undo: Undo[]): Promise<ProcessGroup> {
  const { worldSize, logger, groupName, timeoutMs } = settings;
  const threads = await joinThreads(platform, settings);
  const executors = await openExecutors(platform, settings, threads, undo);
  const ncclHere = await openNccl(platform, settings);
  const meeting = await meet(platform, settings, executors.cpu, undo);
  const { rank, store } = meeting;

  const media = await openMedia(platform, settings, meeting, { threads, executor: executors.cpu }, undo);
  const own = entryOf(platform, settings, meeting, executors, ncclHere, media);
  const offers = await exchangeRoster(store, "roster", own, worldSize, timeoutMs);
  const roster = await media.settle(offers);
  const nccl = await agreeOnNccl(ncclHere, roster, rank, settings);

  const links = await linkAll(roster, rank, media.all, undo);
  const mesh = new Mesh({ rank, size: worldSize, epoch: meeting.epoch, links, logger });
  const onLeave = () => leave(settings, meeting, media);
  const job = new RankJob({ settings, rank, roster, mesh, media, executors, nccl, store, onLeave });
  const group = job.groupOfAll(groupName);
  mesh.start();
  media.hub?.start(mesh);
  for (const { rank: other, link } of group.info().ranks) logger.info(`rank ${rank} to rank ${other}: ${link}`);
  return group;
}

/** What this rank says of itself. */
function entryOf(
  { runtime, version, hostId }: Platform,
  { internal, integrity, listen }: Settings,
  { rank, hub }: Meeting,
  executors: Executors,
  ncclHere: NcclHere,
  media: Media,
): RosterEntry {
  return {
    ...media.offer,
    rank,
    runtime,
    version,
    hostId,
    shares: [],
    arithmeticIds: executors.all.map(({ arithmeticId }) => arithmeticId),
    cuda: ncclHere.offer,
    integrity: {
      wish: integrity,
      hubTls: hub?.url.startsWith("wss:") ?? false,
      listensThere: listen.advertise === undefined,
    },
    segmentBytes: internal.segmentBytes ?? null,
  };
}

/** The job is over: ends the meeting, and the hub that this rank hosts once the others have left it. */
async function leave(
  { groupName, peerTimeoutMs }: Settings,
  { hub, hosted, store, leave }: Meeting,
  { websocket }: Media,
): Promise<void> {
  hub?.goodbye();
  hub?.close();
  await websocket?.close();
  await store.close();
  await leave?.();
  await hosted?.drained(groupName, peerTimeoutMs);
  await hosted?.close();
}
