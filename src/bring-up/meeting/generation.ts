/**
 * Generation: one meeting at a store that may have served for others before: a file, or a store of the caller's. Nothing that an
 * earlier meeting wrote is read again. In the part of the store that a group's name has:
 *
 *   generation         number of the latest meeting
 *   <number>/size      how many ranks it has, as the first to come says
 *   <number>/seat/r    who rank r of that meeting is: its process, and a random number
 *   <number>/up/r      rank r has come up: it waits for nobody any more
 *   <number>/left/r    rank r has left in order
 *   <number>/ended     why that meeting comes to nothing: the rank that says so, and its error
 *   <number>/…         the keys of the meeting
 *
 * A rank takes its seat in the latest meeting, or opens the next one if that has ended, if a rank of it has died, or if its seat
 * there was another's who has died or left. Loaded where ranks meet at no hub.
 */
import {
  AdmissionError,
  fromWireError,
  PeerLostError,
  StoreError,
  toWireError,
  type WebcclError,
} from "../../errors.ts";
import type { Platform } from "../../platform.ts";
import { PrefixStore } from "../../store/prefix-store.ts";
import type { Store } from "../../store/store.ts";
import { CALLED_TWICE } from "../../support/called-twice.ts";
import { randomBytes, sleep } from "../../support/clock.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { decodeControl, encodeControl } from "../../wire/control.ts";
import { expectFields } from "../../wire/schema.ts";
import { expectWireError } from "../../wire/wire-error.ts";
import { MeetAnew, type Vigil } from "../vigil.ts";

/** How often a rank that waits looks whether the meeting has ended, in milliseconds. */
const LOOK_MS = 50;
/** Most seats whose ranks are looked for at one look. */
const SEATS_A_LOOK = 8;

/** The rank that takes a seat. */
export interface Guest {
  /** Null for the lowest that is free. */
  readonly rank: number | null;
  readonly worldSize: number;
  readonly groupName: string;
  /** Has this rank been sent away from the meeting before, because another took its seat? */
  readonly again: boolean;
}

/** One meeting at a store. */
export class Generation {
  readonly store: Store;
  readonly #platform: Platform;

  /** The store of a meeting that has no seats: that of ranks in one thread. */
  constructor(store: Store, platform: Platform) {
    this.store = store;
    this.#platform = platform;
  }

  /**
   * Takes the seat of `guest` in the latest meeting in `store`, or in a new one.
   * @throws AdmissionError if the rank is taken by a process that lives, or all ranks are; or if the meeting has another number
   * of ranks: then its other ranks are told, too.
   */
  static async enter(
    store: Store,
    platform: Platform,
    guest: Guest,
  ): Promise<{ generation: Generation; rank: number }> {
    const own = `${platform.processId} ${randomBytes(8).join(".")}`;
    for (let last = ""; ; ) {
      const number = decodeUtf8(await store.compareSet("generation", "", "1"));
      if (number === last)
        throw new StoreError(`the store still has ${number} for the key "generation" after compareSet has replaced it`);
      last = number;
      const latest = new Generation(new PrefixStore(number, store), platform);
      const { rank, holder } = await latest.#takeSeat(own, guest);
      const seated = { ...guest, rank };
      if (holder !== own) await latest.#succeed(holder, seated);
      else if ((await latest.#isOpen(seated)) && (await latest.#hasSizeOf(seated))) return { generation: latest, rank };
      await store.compareSet("generation", number, String(Number(number) + 1));
    }
  }

  /** Says that the meeting comes to nothing, and why; null where it is opened anew. The first to say so is believed. */
  async end(error: WebcclError | null): Promise<void> {
    await this.store.compareSet("ended", "", encodeControl({ error: error && toWireError(error) }));
  }

  /** Says that this rank has come up. */
  up(rank: number): Promise<void> {
    return this.store.set(upOf(rank), "");
  }

  /** Says that this rank leaves in order. */
  leave(rank: number): Promise<void> {
    return this.store.set(leftOf(rank), "");
  }

  /** Tells `vigil` as soon as the meeting has ended or one of its ranks has died, until the bring-up is over. */
  async watch({ rank: own, worldSize }: { rank: number; worldSize: number }, vigil: Vigil): Promise<void> {
    const seats = new Map<number, string>();
    const unknown = Array.from({ length: worldSize }, (_, rank) => rank).filter((rank) => rank !== own);
    while (!vigil.isOver) {
      const ended = await this.#ended();
      if (ended) return vigil.hear(ended);
      for (const rank of unknown.splice(0, SEATS_A_LOOK)) {
        const holder = await this.#holder(rank);
        if (holder === null) unknown.push(rank);
        else seats.set(rank, holder);
      }
      for (const [rank, holder] of seats) if (!vigil.isOver) await this.#look(rank, holder);
      await sleep(LOOK_MS);
    }
  }

  /** Takes the wanted seat, or the first that is free: the seat, and who has it now. If all are taken, it is the last. */
  async #takeSeat(own: string, { rank, worldSize }: Guest): Promise<{ rank: number; holder: string }> {
    for (let seat = rank ?? 0; ; seat++) {
      const holder = decodeUtf8(await this.store.compareSet(seatOf(seat), "", own));
      if (holder === own || rank !== null || seat + 1 === worldSize) return { rank: seat, holder };
    }
  }

  /** Is the meeting in which `guest` has just taken its seat one to stay in? */
  async #isOpen({ rank: own, worldSize }: Guest & { rank: number }): Promise<boolean> {
    for (let rank = 0; rank < worldSize; rank++) {
      const holder = rank === own ? null : await this.#holder(rank);
      if (holder !== null) await this.#look(rank, holder);
    }
    return !(await this.store.check(["ended"]));
  }

  /** Has the meeting as many ranks as `guest` says? False also if it is one that others have left, so that the next may be opened. */
  async #hasSizeOf({ rank, worldSize, groupName }: Guest & { rank: number }): Promise<boolean> {
    const size = Number(decodeUtf8(await this.store.compareSet("size", "", String(worldSize))));
    if (size === worldSize) return true;
    for (const key of all(size, leftOf)) if (await this.store.check([key])) return false;
    const error = new AdmissionError(
      `group "${groupName}" was begun with worldSize ${size}, and rank ${rank} says ${worldSize}: all ranks give the same`,
      { rank, group: groupName },
    );
    if (!(await this.store.check(all(size, upOf)))) await this.end(error);
    throw error;
  }

  /**
   * Sees that this meeting, in which `holder` has the seat of `guest`, is over, so that the next one may be opened.
   * @throws AdmissionError if `holder` lives.
   */
  async #succeed(holder: string, { rank, worldSize, groupName, again }: Guest & { rank: number }): Promise<void> {
    const state = this.#platform.processState(processOf(holder));
    if (state === "gone") await this.#look(rank, holder);
    if ((await this.store.check(["ended"])) || (await this.store.check([leftOf(rank)]))) return;
    if (state === "alive" || again) {
      throw new AdmissionError(
        `rank ${rank} of group "${groupName}" is already taken: each rank must be started once; ${CALLED_TWICE}, or gives another groupName`,
        { rank, group: groupName },
      );
    }
    if (!(await this.store.check(all(worldSize, upOf)))) await this.end(null);
  }

  /** Ends the meeting if the process that holds a seat has died. */
  async #look(rank: number, holder: string): Promise<void> {
    if (this.#platform.processState(processOf(holder)) !== "gone") return;
    if (await this.store.check([leftOf(rank)])) return;
    await this.end(
      new PeerLostError(`rank ${rank} was lost during the bring-up: its process has ended`, { peer: rank }),
    );
  }

  async #holder(rank: number): Promise<string | null> {
    return (await this.store.check([seatOf(rank)])) ? decodeUtf8(await this.store.get(seatOf(rank))) : null;
  }

  async #ended(): Promise<Error | null> {
    if (!(await this.store.check(["ended"]))) return null;
    const { error } = expectFields(decodeControl(await this.store.get("ended")));
    return error === null ? new MeetAnew() : fromWireError(expectWireError(error));
  }
}

const seatOf = (rank: number) => `seat/${rank}`;
const upOf = (rank: number) => `up/${rank}`;
const leftOf = (rank: number) => `left/${rank}`;
const all = (size: number, keyOf: (rank: number) => string) => Array.from({ length: size }, (_, rank) => keyOf(rank));
/** The part of a seat's value that names the process. */
const processOf = (holder: string) => holder.slice(0, holder.lastIndexOf(" "));
