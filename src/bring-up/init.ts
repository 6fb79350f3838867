/**
 * Bring-up: from options to a group.
 *
 *   1. meet: find the store (a hub's, a file's, memory's, or the caller's) and, with a hub, this rank's number; from here on the
 *      others are told if a step fails
 *   2. open: this rank's executors, and NCCL
 *   3. roster: every rank says what it is and what its media offer; each pair has the best medium that both have
 *   4. link: each medium makes its links
 *   5. a job over the mesh of these links, and in it the group of all ranks
 *
 * If a step fails, what was begun is undone in reverse order, and the other ranks are told why. Each step ends as soon as the
 * caller's signal fires or another rank's bring-up has ended (`vigil.ts`).
 *
 * The process keeps running during the bring-up, while a call is pending, and while the group is destroyed; links and
 * listeners that are open do not keep it. So a program that has ended without destroying its group ends, and this rank
 * then leaves the group with a warning.
 */
import type { ProcessGroup } from "../group/process-group.ts";
import type { Link } from "../link/link.ts";
import { loggerOfRank } from "../logger.ts";
import { Mesh } from "../messaging/mesh.ts";
import type { Platform } from "../platform.ts";
import { keepAlive } from "../support/clock.ts";
import { Cleanup } from "./cleanup.ts";
import type { JobParts } from "./epochs/parts.ts";
import { type Executors, joinThreads, openExecutors } from "./executors.ts";
import { type InitOptions, type InternalOptions, resolveSettings, type Settings } from "./init-options.ts";
import { RankJob } from "./job.ts";
import { linkAll } from "./linking.ts";
import type { Mapped } from "./media/mapped.ts";
import { type Media, openMedia } from "./media/media.ts";
import type { Coming, Meeting } from "./meeting/contract.ts";
import { meet } from "./meeting/meeting.ts";
import type { JobNccl, NcclHere } from "./nccl/contract.ts";
import { agreeOnNccl, openNccl } from "./nccl/nccl.ts";
import { pendingGroup } from "./pending-group.ts";
import { exchangeRoster, type RosterEntry } from "./roster.ts";
import { MeetAnew, Vigil } from "./vigil.ts";

/** How long the hub of a job that has died waits for the ranks to leave, in milliseconds: they have been told. */
const DEAD_JOB_MS = 500;

/** Why a rank that joined has no files and no NCCL. */
const JOINED = "it joined a group that ran";

/** `initProcessGroup` on one platform. */
export function initProcessGroupOn(platform: Platform, options: InitOptions & InternalOptions): Promise<ProcessGroup> {
  return pendingGroup(begin(platform, options));
}

async function begin(platform: Platform, options: InitOptions & InternalOptions): Promise<ProcessGroup> {
  let settings = resolveSettings(options, platform);
  if (settings.iceServers !== undefined) {
    settings = { ...settings, iceServers: (await import("./ice-servers.ts")).iceServersOf(settings.iceServers) };
  }
  if (options.join !== undefined) (await import("./epochs/join-options.ts")).checkJoin(options);
  const hold = keepAlive();
  try {
    for (let again = false; ; again = true) {
      const group = await attempt(platform, settings, again);
      if (group) return group;
    }
  } finally {
    hold.cancel();
  }
}

/** One bring-up; null if the ranks have to meet anew. */
async function attempt(platform: Platform, settings: Settings, again: boolean): Promise<ProcessGroup | null> {
  const vigil = new Vigil(settings.signal);
  const undo = new Cleanup(settings.logger);
  try {
    return await bringUp(platform, { ...settings, signal: vigil.signal }, { undo, vigil, again });
  } catch (error) {
    // A step may have failed only because the bring-up ended.
    const cause = vigil.cause ?? error;
    await undo.run(cause);
    if (cause instanceof MeetAnew) return null;
    throw cause;
  } finally {
    vigil.close();
  }
}

async function bringUp(platform: Platform, unranked: Settings, coming: Coming): Promise<ProcessGroup> {
  const { undo, vigil } = coming;
  if (vigil.cause) throw vigil.cause;
  const meeting = await vigil.race(meet(platform, unranked, coming));
  const { rank } = meeting;
  const logger = loggerOfRank(unranked.logger, rank);
  const settings = { ...unranked, logger, worldSize: unranked.join ? rank + 1 : unranked.worldSize };
  const threads = await vigil.race(joinThreads(platform, settings));
  const mapped = platform.mappedMemory && !threads ? await vigil.race(openMapped(platform, settings)) : null;
  const executors = await vigil.race(openExecutors(platform, settings, threads ?? mapped, undo));
  const ncclHere = await vigil.race(openNccl(platform, settings));

  const here = { threads, mapped, executor: executors.cpu };
  const media = await vigil.race(openMedia(platform, settings, meeting, here, undo));
  const own = entryOf(platform, settings, meeting, executors, ncclHere, media);
  const start = { platform, settings, meeting, media, executors, undo };
  if (settings.join) {
    const { knockAndLink } = await import("./epochs/enter.ts");
    const entrance = await vigil.race(knockAndLink(own, meeting, media, settings, undo));
    const job = startJob({ ...start, ...entrance, nccl: { choice: null, ranks: null, reason: JOINED } });
    return traced(platform, job, await vigil.race(job.join()));
  }
  const offers = await vigil.race(exchangeRoster(meeting.store, "roster", own, settings));
  const roster = await vigil.race(media.settle(offers));
  const nccl = await vigil.race(agreeOnNccl(ncclHere, roster, rank, settings));
  const farewell = async (made: ReadonlyMap<number, Link>, cause: unknown) => {
    const { sayFarewell } = await import("./farewell.ts");
    await sayFarewell(made, meeting, settings.groupName, roster, vigil.toOthers(rank, cause));
  };
  const links = await vigil.race(linkAll(roster, rank, media.all, undo, farewell));
  if (meeting.up) await vigil.race(meeting.up());
  const members = roster.map((entry) => entry.rank);
  const job = startJob({ ...start, roster, members, epoch: meeting.epoch, links, nccl });
  const group = await traced(platform, job, await job.groupOfAll());
  for (const { rank: other, link } of group.info().ranks) logger.info(`linked to rank ${other}: ${link}`);
  return group;
}

/** What a process has for memory in common with others of its host. */
async function openMapped(platform: Platform, settings: Settings): Promise<Mapped> {
  return (await import("./media/mapped.ts")).Mapped.open(platform, settings);
}

/** What a job begins with on this rank. */
interface Start extends Pick<JobParts, "platform" | "settings" | "meeting" | "media" | "members" | "epoch"> {
  readonly roster: readonly RosterEntry[];
  readonly links: ReadonlyMap<number, Link>;
  readonly executors: Executors;
  readonly nccl: JobNccl;
  readonly undo: Cleanup;
}

/** The job, over a mesh that delivers from the next microtask on. */
function startJob({ executors, nccl, links, roster, undo, ...start }: Start): RankJob {
  const { settings, platform, meeting, media, epoch } = start;
  const mesh = new Mesh({ rank: meeting.rank, epoch, links, logger: settings.logger });
  const parts: JobParts = { ...start, mesh, seat: meeting.rank, roster: [...roster] };
  let noticesEnd: (() => void) | undefined;
  const onLeave = async (hasDied: boolean) => {
    noticesEnd?.();
    await job.tracesEnd?.();
    return leave(parts, hasDied);
  };
  // Ranks in memory are all in this process: if nothing else runs here, nobody will end a call that is pending.
  const holds = platform.onProgramEnd !== null && meeting.links === null;
  const job = new RankJob({ parts, executors, nccl, holds, onLeave });
  noticesEnd = platform.onProgramEnd?.(() => job.leaveForgotten());
  undo.push(() => noticesEnd?.());
  queueMicrotask(() => {
    mesh.start();
    media.hub?.start(mesh);
  });
  return job;
}

/** The group of all ranks, whose job leaves traces where WEBCCL_TRACE_DIR is set. */
async function traced(platform: Platform, job: RankJob, group: ProcessGroup): Promise<ProcessGroup> {
  const folder = platform.traceInto && platform.env("WEBCCL_TRACE_DIR");
  if (folder) job.tracesEnd = await (await import("./traced-job.ts")).traceJob(platform, folder, job, group);
  return group;
}

/** What this rank says of itself. */
function entryOf(
  { runtime, version, hostId, processId }: Platform,
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
    processId,
    dataChannels: [],
    shares: [],
    maps: [],
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
async function leave({ settings, meeting, media }: JobParts, hasDied: boolean): Promise<void> {
  const { groupName, peerTimeoutMs } = settings;
  const { hub, hosted, store } = meeting;
  hub?.goodbye();
  hub?.close();
  await media.websocket?.close();
  await store.close();
  await meeting.leave?.();
  await hosted?.drained(groupName, hasDied ? Math.min(DEAD_JOB_MS, peerTimeoutMs) : peerTimeoutMs);
  await hosted?.close();
}
