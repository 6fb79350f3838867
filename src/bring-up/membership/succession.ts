/**
 * Succession: from one epoch of a job to the next, on one rank. It runs the agreement (`membership/agreement.ts`) over the mesh, and
 * then makes what was agreed hold here: links, hub and store, and the end of the old groups. Loaded by the first `shrink` or `admit`.
 */
import { AbortedError, TimeoutError, UnsupportedError, type WebcclError } from "../../errors.ts";
import type { EpochRequest, JobMembership, MemberGroup, MembershipEvent, NextEpoch } from "../../group/job.ts";
import { HubConnection } from "../../link/hub/connection.ts";
import { Agreement, type Surroundings } from "../../membership/agreement.ts";
import { answer, serve, unanswered } from "../../membership/knocks.ts";
import { expectMessage, type Joiner, type Kind, type Message } from "../../membership/messages.ts";
import type { Verdict } from "../../membership/verdict.ts";
import type { HubHandle } from "../../platform.ts";
import { HubStore } from "../../store/hub-store.ts";
import { keepAlive } from "../../support/clock.ts";
import { decodeControl, encodeControl } from "../../wire/control.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import { hubHasChecksums } from "../integrity.ts";
import type { RosterEntry } from "../roster.ts";
import { decide } from "./arbiter.ts";
import { linkJoiners } from "./joiner-links.ts";
import type { JobParts } from "./parts.ts";
import { watchMembership } from "./watch.ts";

/** The groups of a job on one rank. */
export interface JobGroups {
  /** The group of all members. */
  root(): MemberGroup | null;
  has(group: MemberGroup): boolean;
  /** Ends them all. */
  endAll(cause: WebcclError): void;
  /** The job ends on this rank, which has no group any more. */
  leave(): Promise<void>;
}

/** The epochs of a job on one rank. */
export class Succession implements JobMembership {
  readonly #parts: JobParts;
  readonly #groups: JobGroups;
  #agreement: Agreement | null = null;
  /** The last verdict: who comes late is told. */
  #verdict: Verdict | null = null;
  /** What came for a change that has not begun here. */
  #early: [from: number, message: Message][] = [];
  /** The hub that this rank started for a verdict of its own. */
  #hosted: HubHandle | null = null;

  constructor(parts: JobParts, groups: JobGroups) {
    this.#parts = parts;
    this.#groups = groups;
    parts.mesh.listen({
      onMessage: (from, value) => this.#onMessage(from, expectMessage(value)),
      onChange: () => this.#agreement?.onChange(),
    });
  }

  expectWhole(group: MemberGroup, kind: string): void {
    if (group === this.#groups.root()) return;
    throw new UnsupportedError(
      `${kind} is for the group of all ranks, and group "${group.name}" is a part of one: call it there, and make its parts anew`,
    );
  }

  watch(group: MemberGroup, hook: (event: MembershipEvent) => void): void {
    watchMembership(this.#parts, group, hook, () => this.#groups.has(group));
  }

  /**
   * Takes part in the change to the next epoch. Null if an admit found that nobody waits.
   * @throws AdmissionError if this rank is none of its members; TimeoutError if an admit misses a rank.
   */
  async change(kind: Kind, { timeoutMs, dead }: EpochRequest): Promise<NextEpoch | null> {
    const { members, epoch } = this.#parts;
    const hold = keepAlive();
    const cause = dead();
    const silent = cause instanceof TimeoutError ? cause.missingRanks.flatMap((rank) => members[rank] ?? []) : [];
    const agreement = this.#begin(kind, epoch + 1, timeoutMs, silent, () => dead() !== null);
    try {
      const verdict = await agreement.outcome;
      return verdict && (await this.#adopt(verdict));
    } finally {
      if (this.#agreement === agreement) this.#agreement = null;
      hold.cancel();
    }
  }

  #begin(kind: Kind, epoch: number, timeoutMs: number, silent: readonly number[], isDead: () => boolean): Agreement {
    const { settings, seat, members } = this.#parts;
    this.#agreement?.close(new AbortedError(`group "${settings.groupName}": another shrink or admit has begun`));
    const surroundings = this.#surroundings(epoch, isDead);
    const group = settings.groupName;
    const agreement = new Agreement({ ...{ group, epoch, own: seat, members, kind, timeoutMs, silent, surroundings } });
    this.#agreement = agreement;
    const early = this.#early;
    this.#early = [];
    for (const [from, message] of early) this.#onMessage(from, message);
    agreement.start();
    return agreement;
  }

  #onMessage(from: number, message: Message): void {
    const { epoch, mesh } = this.#parts;
    if (message.epoch > epoch && this.#agreement && (message.epoch === epoch + 1 || message.type === "verdict")) {
      this.#agreement.onMessage(from, message);
    } else if (message.epoch > epoch) this.#early.push([from, message]);
    else if (message.type === "here" && this.#verdict) {
      mesh.tell(from, { type: "verdict", epoch: message.epoch, verdict: this.#verdict } satisfies Message);
    }
  }

  #surroundings(epoch: number, isDead: () => boolean): Surroundings {
    const { mesh } = this.#parts;
    return {
      isDead,
      reaches: (seat) => mesh.reaches(seat),
      tell: (seat, message) => mesh.tell(seat, message),
      knocking: async () => this.#knocking(),
      invite: (joiners) => this.#invite(epoch, joiners),
      link: (joiners, limitMs) => this.#link(joiners, limitMs),
      decide: (proposal, vote) =>
        decide(this.#parts, proposal, vote, (hosted) => {
          this.#hosted = hosted;
        }),
    };
  }

  async #knocking(): Promise<Joiner[]> {
    const joiners = await unanswered(this.#parts.meeting.store);
    return joiners.filter(({ entry }) => this.#parts.platform.processState(entryOf(entry).processId) !== "gone");
  }

  async #invite(epoch: number, joiners: readonly Joiner[]): Promise<void> {
    const { members, meeting, roster } = this.#parts;
    const entries = [...members.map((seat) => encodeControl(roster[seat])), ...joiners.map(({ entry }) => entry)];
    for (const { number } of joiners) await answer(meeting.store, number, { epoch, members, entries });
    await serve(meeting.store, Math.max(...joiners.map(({ number }) => number)));
  }

  #link(joiners: readonly Joiner[], limitMs: number): Promise<number[]> {
    const { roster, seat: own, mesh, media } = this.#parts;
    const unlinked = joiners.filter(({ seat }) => !mesh.reaches(seat));
    const entries = unlinked.map(({ entry }) => entryOf(entry));
    for (const entry of entries) roster[entry.rank] = entry;
    return linkJoiners(roster[own]!, entries, media.all, limitMs, (seat, link) => mesh.add(seat, link));
  }

  /** Makes the verdict hold on this rank. */
  async #adopt(verdict: Verdict): Promise<NextEpoch> {
    const { epoch, members, hub } = verdict;
    const parts = this.#parts;
    const { groupName } = parts.settings;
    this.#verdict = verdict;
    this.#groups.endAll(
      new AbortedError(
        `group "${groupName}" has ended: epoch ${epoch} follows it. Use the group of that shrink or admit`,
      ),
    );
    parts.epoch = epoch;
    parts.members = members;
    parts.mesh.adopt(epoch, members);
    if (hub) {
      await this.#moveTo(hub).catch(async (error: unknown) => {
        await this.#hosted?.close();
        await this.#groups.leave();
        throw error;
      });
    }
    parts.meeting.hub?.tell({ type: "members", epoch, ranks: members });
    return { epoch, globalRanks: members, rank: members.indexOf(parts.seat) };
  }

  /** Meets the others at a new hub, which one of them hosts. */
  async #moveTo({ url, seat }: NonNullable<Verdict["hub"]>): Promise<void> {
    const parts = this.#parts;
    const { platform, settings, members, media, meeting, mesh, roster } = parts;
    const { groupName: group, token, timeoutMs, integrity } = settings;
    const checksums = hubHasChecksums(integrity, url);
    const { loadChecksums } = await import("../../executor/checksum/checksums.ts");
    const sums = checksums ? new FrameSums(await loadChecksums(null)) : null;
    const hello = { group, rank: parts.seat, worldSize: 1 + Math.max(...members), purpose: "hub" as const, checksums };
    const options = { token, ticket: meeting.resume, timeoutMs };
    const { socket, welcome, resume } = await platform.connect(url, hello, options);
    const hub = new HubConnection(socket, welcome, url, sums);
    const store = new HubStore(hub);
    store.timeoutMs = timeoutMs;
    const { hubMedium } = await import("../media/hub.ts");
    const medium = hubMedium(hub, media.executor, media.ports);
    // A rank that joined knows no entry of those that were lost before.
    await medium.settle(members.flatMap((seat) => roster[seat] ?? []));
    await medium.link([], () => {});
    parts.media = { ...media, hub: medium, all: [...media.all.filter(({ kind }) => kind !== "hub"), medium] };
    const hosted = seat === parts.seat ? this.#hosted : null;
    parts.meeting = { ...meeting, hub, resume, store, hosted };
    const { SECRET } = await import("../media/websocket.ts");
    if (hosted && media.websocket) await store.set(SECRET, media.websocket.secret);
    medium.start(mesh);
  }
}

/** The roster entry that these bytes are. */
export function entryOf(bytes: Uint8Array): RosterEntry {
  return decodeControl(bytes) as RosterEntry;
}
