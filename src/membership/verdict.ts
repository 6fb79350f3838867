/** Verdict: who the members of the next epoch are, how a leader proposes it, and its form in messages and in the store. */
import { ProtocolError } from "../errors.ts";
import { decodeControl, encodeControl } from "../wire/control.ts";
import { MAX_WORLD_SIZE } from "../wire/handshake.ts";
import { expectArray, expectFields, expectInteger, expectOptional, expectString } from "../wire/schema.ts";

/** The decision of one epoch change: the same on every rank that comes to the epoch. */
export interface Verdict {
  readonly epoch: number;
  /** Seats, in the order of the new group. */
  readonly members: readonly number[];
  /**
   * Where the members meet if their hub was gone, and the leader's seat: a hub that the leader started, or the same one, which was
   * started again. Null if they stay at the hub that they have.
   */
  readonly hub: { readonly url: string; readonly seat: number } | null;
}

/** Seats to which a rank has no link, of those that concern it. */
type Unreachable = readonly number[];

/**
 * The members that a leader proposes: in the order of `seats`, each that is here and linked with all that were chosen before it.
 * `unreachable` has an entry for each seat that is here.
 */
export function chooseMembers(seats: readonly number[], unreachable: ReadonlyMap<number, Unreachable>): number[] {
  const chosen: number[] = [];
  for (const seat of seats) {
    const missed = unreachable.get(seat);
    if (missed && chosen.every((other) => !missed.includes(other) && !unreachable.get(other)?.includes(seat))) {
      chosen.push(seat);
    }
  }
  return chosen;
}

/** As the store keeps it. */
export function encodeVerdict(verdict: Verdict): Uint8Array {
  return encodeControl(verdict);
}

/** @throws ProtocolError if the bytes are no verdict. */
export function decodeVerdict(bytes: Uint8Array): Verdict {
  return expectVerdict(decodeControl(bytes));
}

/** @throws ProtocolError if the value is no verdict. */
export function expectVerdict(value: unknown): Verdict {
  const fields = expectFields(value, "verdict");
  const members = expectSeats(expectArray(fields, "members"));
  if (members.length === 0 || new Set(members).size !== members.length) {
    throw new ProtocolError("a verdict's members must be different seats, and one at least");
  }
  const hub = expectOptional(fields, "hub", (map, field) => {
    const place = expectFields(map[field], field);
    return { url: expectString(place, "url", 1024), seat: expectInteger(place, "seat", 0, MAX_WORLD_SIZE - 1) };
  });
  return { epoch: expectEpoch(fields.epoch), members, hub };
}

/** @throws ProtocolError if the value is no list of seats. */
export function expectSeats(values: readonly unknown[]): number[] {
  return values.map((seat) => expectInteger({ seat }, "seat", 0, MAX_WORLD_SIZE - 1));
}

/** @throws ProtocolError if the value is no epoch. */
export function expectEpoch(epoch: unknown): number {
  return expectInteger({ epoch }, "epoch", 0, 0xffffffff);
}
