/**
 * Succession: from one epoch of a job to the next, on one rank. It runs the agreement (`membership/agreement.ts`) over the mesh, and
 * then makes what was agreed hold here: links, hub and store, and the end of the old groups. Loaded by the first `shrink` or `admit`.
 */
import { AbortedError, HubLostError, TimeoutError, UnsupportedError, type WebcclError } from "../../errors.ts";
import type { EpochRequest, JobMembership, MemberGroup, MembershipEvent, NextEpoch } from "../../group/job.ts";
import { Agreement, type Surroundings } from "../../membership/agreement.ts";
import { Ballots } from "../../membership/ballots.ts";
import { answer, serve, unanswered } from "../../membership/knocks.ts";
import { expectMessage, type Joiner, type Kind, type Message } from "../../membership/messages.ts";
import type { Verdict } from "../../membership/verdict.ts";
import type { HubHandle } from "../../platform.ts";
import { keepAlive, startTimer } from "../../support/clock.ts";
import { decodeControl, encodeControl } from "../../wire/control.ts";
import { linkBetween } from "../linking.ts";
import type { RosterEntry } from "../roster.ts";
import { decide } from "./arbiter.ts";
import { missHub, moveToHub } from "./hub-move.ts";
import { hasLostHub, returnToHub } from "./hub-return.ts";
import { linkJoiners } from "./joiner-links.ts";
import type { JobParts } from "./parts.ts";
import { watchMembership } from "./watch.ts";

/** How long the host of a new hub waits for the others to come there, in milliseconds. */
const GUESTS_MS = 5_000;

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
  #early: [from: number, message: Message, sentIn: number][] = [];
  /** The hub that this rank started for a verdict of its own. */
  #hosted: HubHandle | null = null;
  /** Members that have come to it. */
  readonly #guests = new Set<number>();
  /** Members that have come back to the hub, which was started again; null if it was not. */
  #back: ReadonlySet<number> | null = null;
  /** What this rank has promised and voted in changes to the next epoch. */
  #ballots: Ballots;
  /** Asked again when a link has gone, or a guest has come. */
  readonly #watchers = new Set<() => void>();

  constructor(parts: JobParts, groups: JobGroups) {
    this.#parts = parts;
    this.#groups = groups;
    this.#ballots = new Ballots(parts.members);
    parts.mesh.listen({
      onMessage: (from, value, sentIn) => this.#onMessage(from, expectMessage(value), sentIn),
      onChange: () => {
        this.#agreement?.onChange();
        this.#tick();
      },
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
    let agreement: Agreement | null = null;
    try {
      if (this.#back || hasLostHub(this.#parts)) this.#back = await returnToHub(this.#parts, timeoutMs);
      agreement = this.#begin(kind, epoch + 1, timeoutMs, silent, () => dead() !== null);
      const verdict = await agreement.outcome;
      return verdict && (await this.#adopt(verdict));
    } finally {
      if (this.#agreement === agreement) this.#agreement = null;
      hold.cancel();
    }
  }

  leave(): Promise<void> {
    return this.#groups.leave();
  }

  #begin(kind: Kind, epoch: number, timeoutMs: number, silent: readonly number[], isDead: () => boolean): Agreement {
    const { settings, seat, members } = this.#parts;
    this.#agreement?.close(new AbortedError(`group "${settings.groupName}": another shrink or admit has begun`));
    const surroundings = this.#surroundings(epoch, isDead);
    const group = settings.groupName;
    const ballots = this.#ballots;
    const agreement = new Agreement({
      ...{ group, epoch, own: seat, members, kind, timeoutMs, silent, ballots, surroundings },
    });
    this.#agreement = agreement;
    const early = this.#early;
    this.#early = [];
    for (const message of early) this.#onMessage(...message);
    agreement.start();
    return agreement;
  }

  #onMessage(from: number, message: Message, sentIn: number): void {
    const { epoch, mesh } = this.#parts;
    if (message.epoch > epoch && this.#agreement && (message.epoch === epoch + 1 || message.type === "verdict")) {
      this.#agreement.onMessage(from, message);
    } else if (message.epoch > epoch) this.#early.push([from, message, sentIn]);
    else if (message.type === "here" && this.#verdict) {
      mesh.tell(from, { type: "verdict", epoch: message.epoch, verdict: this.#verdict } satisfies Message);
    } else if (message.type === "linked" && message.epoch === epoch && sentIn === epoch) {
      // One that was sent in the epoch before comes late, and is about the links to those that join.
      this.#guests.add(from);
      this.#tick();
    }
  }

  #surroundings(epoch: number, isDead: () => boolean): Surroundings {
    const { mesh } = this.#parts;
    return {
      isDead,
      reaches: (seat) => mesh.reaches(seat) && this.#isHere(seat),
      tell: (seat, message) => mesh.tell(seat, message),
      knocking: async () => this.#knocking(),
      invite: (joiners) => this.#invite(epoch, joiners),
      link: (joiners, limitMs) => this.#link(joiners, limitMs),
      decide: (proposal, vote) =>
        decide(this.#parts, proposal, vote, {
          isBack: this.#back !== null,
          keep: (hosted) => {
            this.#hosted = hosted;
          },
        }),
    };
  }

  /** Where the hub relays, a member has to be back there. */
  #isHere(seat: number): boolean {
    const { roster, seat: own } = this.#parts;
    const [entry, other] = [roster[own], roster[seat]];
    return this.#back?.has(seat) !== false || !entry || !other || linkBetween(entry, other) !== "hub";
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
    this.#back = null;
    this.#ballots = new Ballots(members);
    this.#guests.clear();
    this.#groups.endAll(
      new AbortedError(
        `group "${groupName}" has ended: epoch ${epoch} follows it. Use the group of that shrink or admit`,
      ),
    );
    parts.epoch = epoch;
    parts.members = members;
    parts.mesh.adopt(epoch, members);
    try {
      if (hub && !this.#isAt(hub.url)) await this.#moveTo(hub);
      else parts.meeting.hub?.tell({ type: "members", epoch, ranks: members });
    } catch (error) {
      await this.#hosted?.close();
      await this.leave();
      throw error;
    }
    return { epoch, globalRanks: members, rank: members.indexOf(parts.seat) };
  }

  #isAt(url: string): boolean {
    const { hub } = this.#parts.meeting;
    return hub?.url === url && !hub.isClosed;
  }

  /** Meets the others at a new hub, which one of them hosts, or has come back to. */
  async #moveTo({ url, seat: host }: NonNullable<Verdict["hub"]>): Promise<void> {
    const parts = this.#parts;
    const { mesh, seat, epoch, members, settings } = parts;
    const { timeoutMs } = settings;
    if (this.#hosted && host === seat) {
      await moveToHub(parts, url, { timeoutMs });
      parts.meeting = { ...parts.meeting, hosted: this.#hosted };
      // Its program may end, and the hub with it.
      const isThere = (member: number) => member === seat || this.#guests.has(member) || !mesh.reaches(member);
      return this.#until(() => members.every(isThere), GUESTS_MS);
    }
    const { hub } = parts.meeting;
    const isSame = hub?.url === url && hub.welcome.hostRank === null;
    const moving = new AbortController();
    const stop = this.#watch(() => {
      if (!mesh.reaches(host)) moving.abort();
    });
    try {
      await moveToHub(parts, url, { timeoutMs, signal: moving.signal });
      mesh.tell(host, { type: "linked", epoch, unreachable: [] } satisfies Message);
    } catch (error) {
      // The host is gone again: this epoch's group dies of that, and the next change finds who lives.
      if (!moving.signal.aborted && !(error instanceof HubLostError)) throw error;
      missHub(parts, url, isSame ? null : host);
    } finally {
      stop();
    }
  }

  /** Resolves when `holds` does, or after `limitMs`. */
  #until(holds: () => boolean, limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        timer.cancel();
        stop();
        resolve();
      };
      const timer = startTimer(limitMs, end);
      const stop = this.#watch(() => {
        if (holds()) queueMicrotask(end);
      });
    });
  }

  /** Calls `look` now and whenever a link has gone or a guest has come, until the function that it returns is called. */
  #watch(look: () => void): () => void {
    this.#watchers.add(look);
    look();
    return () => this.#watchers.delete(look);
  }

  #tick(): void {
    for (const look of [...this.#watchers]) look();
  }
}

/** The roster entry that these bytes are. */
export function entryOf(bytes: Uint8Array): RosterEntry {
  return decodeControl(bytes) as RosterEntry;
}
