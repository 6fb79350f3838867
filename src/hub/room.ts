/**
 * Room: one group on a hub: its members, how others left, the group's store, and the account of all that is kept for it. Or a
 * store by itself, whose members are its clients: they come and go, and know nothing of each other.
 */

import { AdmissionError, ProtocolError, type WireError } from "../errors.ts";
import { LiveSpace } from "../store/live-space.ts";
import { Account } from "../support/account.ts";
import { CALLED_TWICE } from "../support/called-twice.ts";
import { type Hello, MAX_WORLD_SIZE } from "../wire/handshake.ts";
import { expectArray, expectInteger, type Fields } from "../wire/schema.ts";
import { RetryLaterError } from "./admission.ts";
import type { Port } from "./port.ts";
import type { quotasOf } from "./quotas.ts";
import type { Reduction } from "./reduction.ts";

/** How a rank went. */
export type Departure =
  | { type: "left"; rank: number; cause: WireError | null }
  | { type: "lost"; rank: number; reason: string };

/** The hub, as a room needs it. */
export interface RoomOwner {
  readonly account: Account;
  readonly quotas: ReturnType<typeof quotasOf>;
  makeReduction(room: Room): Reduction;
  /** Closes every member's connection. */
  evictAll(room: Room, reason: string): void;
}

/** The space of a store that is kept in `parent`. `evict` is called if it has to go. */
export function openSpace(
  { storeBytes, keys, valueBytes }: RoomOwner["quotas"],
  parent: Account,
  evict: (reason: string) => void,
): LiveSpace {
  const account = new Account({ name: "this group's store", limit: storeBytes, parent, evict });
  return new LiveSpace({ account, keys, valueBytes });
}

/** A group's members on a hub. */
export class Room {
  readonly group: string;
  readonly worldSize: number;
  /** Of the members of today (docs/membership.md). */
  epoch = 0;
  /** How many seats it has had: those that joined later have one behind the first ranks. */
  seats: number;
  /** Those that wait to be let in. */
  readonly waiting = new Set<number>();
  /** Of its members and its store. */
  readonly account: Account;
  /** The contents of its store. */
  readonly space: LiveSpace;
  readonly reduction: Reduction;
  readonly members = new Map<number, Port>();
  readonly departed = new Map<number, Departure["type"]>();
  /** Called when the last member has gone. */
  readonly emptied: (() => void)[] = [];

  /** Is it a store by itself? */
  readonly isStore: boolean;

  readonly #maxMembers: number;

  /** `space` has the contents of its store where others serve it besides. */
  constructor({ group, worldSize, purpose }: Hello, hub: RoomOwner, space?: LiveSpace) {
    const { account: parent, quotas } = hub;
    this.group = group;
    this.worldSize = worldSize;
    this.seats = worldSize;
    this.isStore = purpose === "store";
    this.#maxMembers = quotas.members;
    this.account = new Account({ name: "this group", limit: quotas.groupBytes, parent });
    this.space = space ?? openSpace(quotas, this.account, (reason) => hub.evictAll(this, reason));
    this.reduction = hub.makeReduction(this);
  }

  /** Nothing is kept for it any more. A store that others serve goes on. */
  close(): void {
    this.account.close();
    for (const resolve of this.emptied) resolve();
  }

  /**
   * The rank that a newcomer gets: the one it asks for, or the lowest that nobody has had.
   * @throws AdmissionError if that cannot be; RetryLaterError if it can once this group's members have gone.
   */
  rankFor(hello: Hello): number {
    const { group, rank, worldSize } = hello;
    if (worldSize === 0) return this.#newSeat(hello);
    if (worldSize !== this.worldSize) {
      throw new AdmissionError(`group "${group}" has world size ${this.worldSize}, and this rank says ${worldSize}`);
    }
    if (worldSize > this.#maxMembers && !this.isStore) {
      throw new AdmissionError(
        `group "${group}" has ${worldSize} ranks, and this hub takes at most ${this.#maxMembers}`,
      );
    }
    if (this.members.size >= this.#maxMembers) {
      throw new RetryLaterError(`store "${group}" has ${this.#maxMembers} clients, as many as this hub takes`);
    }
    if (rank === null && this.departed.size === 0) {
      for (let free = 0; free < worldSize; free++) {
        if (!this.members.has(free) && !this.departed.has(free)) return free;
      }
      throw new AdmissionError(`group "${group}" is full: all its ${worldSize} ranks are here`);
    }
    if (rank !== null && this.members.has(rank)) {
      throw new AdmissionError(
        `rank ${rank} of group "${group}" is already taken: each rank must be started once; ${CALLED_TWICE}`,
      );
    }
    const departure = rank === null ? undefined : this.departed.get(rank);
    if (departure) {
      throw new RetryLaterError(
        `rank ${rank} of group "${group}" has been here and was ${departure === "left" ? "ended" : "lost"}; ` +
          "its other ranks must end before a new group of that name can start",
      );
    }
    if (rank === null || (this.departed.size > 0 && this.epoch === 0)) {
      // It will never be complete: the newcomer is for the group that follows.
      throw new RetryLaterError(
        `group "${group}" is ending: ${this.departed.size} of its ${worldSize} ranks have gone`,
      );
    }
    return rank;
  }

  #newSeat({ group, rank, purpose }: Hello): number {
    if (rank !== null || purpose !== "hub") throw new AdmissionError("a rank that joins a group has no number yet");
    if (this.members.size === 0) throw new RetryLaterError(`there is no group "${group}" here to join`);
    if (this.members.size >= this.#maxMembers) {
      throw new RetryLaterError(`group "${group}" has ${this.#maxMembers} ranks, as many as this hub takes`);
    }
    if (this.seats >= MAX_WORLD_SIZE) throw new AdmissionError(`group "${group}" has had ${MAX_WORLD_SIZE} ranks`);
    this.waiting.add(this.seats);
    return this.seats++;
  }

  /**
   * `{ type: "members", epoch, ranks }`: the sender has come to this epoch.
   * @returns the members that are none of it; null if another has said so before.
   */
  begin(from: number, message: Fields): number[] | null {
    const epoch = expectInteger(message, "epoch", 0, 0xffffffff);
    const ranks = expectArray(message, "ranks");
    const members = new Set(ranks);
    if (!members.has(from)) throw new ProtocolError("a member begins an epoch to which it does not belong");
    if (epoch <= this.epoch) return null;
    this.epoch = epoch;
    for (const rank of ranks) this.waiting.delete(rank as number);
    return [...this.members.keys()].filter((rank) => !members.has(rank) && !this.waiting.has(rank));
  }
}
