/**
 * Room: one group on a hub: its members, how others left, and the group's store. Or a store by itself, whose members are its
 * clients: they come and go, and know nothing of each other.
 */

import { AdmissionError, type WireError } from "../errors.ts";
import { HashStore } from "../store/hash-store.ts";
import type { LiveSpace } from "../store/live-space.ts";
import type { Hello } from "../wire/handshake.ts";
import { RetryLaterError } from "./admission.ts";
import type { Reduction } from "./reduction.ts";
import type { Port } from "./relay.ts";

/** How a rank went. */
export type Departure =
  | { type: "left"; rank: number; cause: WireError | null }
  | { type: "lost"; rank: number; reason: string };

/** A group's members on a hub. */
export class Room {
  readonly group: string;
  readonly worldSize: number;
  readonly store: HashStore;
  readonly reduction: Reduction;
  readonly members = new Map<number, Port>();
  readonly departed = new Map<number, Departure>();
  /** Called when the last member has gone. */
  readonly emptied: (() => void)[] = [];

  /** Is it a store by itself? */
  readonly isStore: boolean;

  /** `space` has the contents of its store where others serve it besides. */
  constructor({ group, worldSize, purpose }: Hello, makeReduction: (room: Room) => Reduction, space?: LiveSpace) {
    this.store = new HashStore(space);
    this.group = group;
    this.worldSize = worldSize;
    this.isStore = purpose === "store";
    this.reduction = makeReduction(this);
  }

  /**
   * The rank that a newcomer gets: the one it asks for, or the lowest that nobody has had.
   * @throws AdmissionError if that cannot be; RetryLaterError if it can once this group's members have gone.
   */
  rankFor(hello: Hello): number {
    const { group, rank, worldSize } = hello;
    if (worldSize !== this.worldSize) {
      throw new AdmissionError(`group "${group}" has world size ${this.worldSize}, and this rank says ${worldSize}`);
    }
    if (rank === null && this.departed.size === 0) {
      for (let free = 0; free < worldSize; free++) {
        if (!this.members.has(free) && !this.departed.has(free)) return free;
      }
      throw new AdmissionError(`group "${group}" is full: all its ${worldSize} ranks are here`);
    }
    if (rank !== null && this.members.has(rank)) {
      throw new AdmissionError(`rank ${rank} of group "${group}" is already taken: each rank must be started once`);
    }
    const departure = rank === null ? undefined : this.departed.get(rank);
    if (departure) {
      throw new RetryLaterError(
        `rank ${rank} of group "${group}" has been here and was ${departure.type === "left" ? "ended" : "lost"}; ` +
          "its other ranks must end before a new group of that name can start",
      );
    }
    if (rank === null || this.departed.size > 0) {
      // It will never be complete: the newcomer is for the group that follows.
      throw new RetryLaterError(
        `group "${group}" is ending: ${this.departed.size} of its ${worldSize} ranks have gone`,
      );
    }
    return rank;
  }
}
