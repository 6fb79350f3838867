/** Rooms: the groups and stores that are on a hub, and the seat of each newcomer. */
import type { LiveSpace } from "../store/live-space.ts";
import type { Hello } from "../wire/handshake.ts";
import { RetryLaterError } from "./admission.ts";
import { openSpace, Room, type RoomOwner } from "./room.ts";

/** The group of whose store others serve the keys under `prefix` besides. */
export interface SharedStore {
  readonly group: string;
  readonly prefix: string;
}

/** See the file's head. */
export class Rooms {
  /** The contents of the store that others serve besides, if there is one. They outlive the group. */
  readonly sharedSpace: LiveSpace | null;
  readonly #owner: RoomOwner;
  readonly #shared: SharedStore | undefined;
  readonly #rooms = new Map<string, Room>();

  constructor(owner: RoomOwner, shared: SharedStore | undefined) {
    this.#owner = owner;
    this.#shared = shared;
    this.sharedSpace = shared ? this.#openShared(shared.group) : null;
  }

  get size(): number {
    return this.#rooms.size;
  }

  [Symbol.iterator](): IterableIterator<Room> {
    return this.#rooms.values();
  }

  find(purpose: Hello["purpose"], name: string): Room | undefined {
    return this.#rooms.get(roomKey(purpose, name));
  }

  /**
   * The newcomer's room, made where it is the first, and the rank that it gets there.
   * @throws AdmissionError if it gets none.
   */
  seat(hello: Hello): [room: Room, rank: number] {
    const { groups } = this.#owner.quotas;
    const known = this.find(hello.purpose, hello.group);
    if (!known && this.size >= groups) {
      throw new RetryLaterError(`this hub has ${groups} groups and stores, as many as it takes`);
    }
    const room = known ?? this.#makeRoom(hello);
    try {
      const rank = room.rankFor(hello);
      this.#rooms.set(roomKey(hello.purpose, hello.group), room);
      return [room, rank];
    } catch (error) {
      if (!known) room.close();
      throw error;
    }
  }

  /** The last member has gone. */
  close(room: Room): void {
    this.#rooms.delete(roomKey(room.isStore ? "store" : "hub", room.group));
    room.close();
  }

  #makeRoom(hello: Hello): Room {
    const isShared = hello.purpose === "hub" && hello.group === this.#shared?.group;
    if (!isShared || !this.sharedSpace) return new Room(hello, this.#owner);
    const { contents } = this.sharedSpace;
    // What the ranks of an earlier room told each other is not for those of this one.
    for (const key of [...contents.keys()]) if (!key.startsWith(this.#shared!.prefix)) contents.delete(key);
    return new Room(hello, this.#owner, this.sharedSpace);
  }

  /** Where that store has to go, its group ends and all of it is let go. */
  #openShared(group: string): LiveSpace {
    const space = openSpace(this.#owner.quotas, this.#owner.account, (reason) => {
      const room = this.find("hub", group);
      if (room) this.#owner.evictAll(room, reason);
      space.contents.clear();
    });
    return space;
  }
}

/** By which a room is found: a store may have the name of a group. */
function roomKey(purpose: Hello["purpose"], name: string): string {
  return `${purpose} ${name}`;
}
