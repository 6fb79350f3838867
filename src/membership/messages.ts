/** The messages of an epoch change, and the check of every field of one that arrives. docs/membership.md explains them. */
import type { WireError } from "../errors.ts";
import { MAX_WORLD_SIZE } from "../wire/handshake.ts";
import { expectArray, expectBytes, expectFields, expectInteger, expectOneOf, expectOptional } from "../wire/schema.ts";
import { expectWireError } from "../wire/wire-error.ts";
import { expectEpoch, expectSeats, expectVerdict, type Verdict } from "./verdict.ts";

/** Why a rank takes part in a change. */
export type Kind = (typeof KINDS)[number];
const KINDS = ["shrink", "admit", "join"] as const;

/** A vote for a verdict, which the leader with the seat `ballot` proposed. */
export interface Vote {
  readonly ballot: number;
  readonly verdict: Verdict;
}

/** A rank that knocks: its number among them, its seat, and its entry of the roster. */
export interface Joiner {
  readonly number: number;
  readonly seat: number;
  readonly entry: Uint8Array;
}

/** All messages; `epoch` is that of the group to come. */
export type Message =
  | { type: "here"; epoch: number; kind: Kind; unreachable: readonly number[]; accepted: Vote | null }
  | { type: "leading"; epoch: number }
  | { type: "link"; epoch: number; joiners: readonly Joiner[] }
  /** Links to those that join are made; or, of the epoch that has begun: the sender has come to the new hub. */
  | { type: "linked"; epoch: number; unreachable: readonly number[] }
  | { type: "propose"; epoch: number; ballot: number; verdict: Verdict }
  | { type: "accepted"; epoch: number; ballot: number }
  | { type: "verdict"; epoch: number; verdict: Verdict }
  /** The leader can decide nothing: another one leads. */
  | { type: "resigned"; epoch: number }
  /** An admit comes to nothing: nobody waits, or for the error. */
  | { type: "ended"; epoch: number; error: WireError | null };

const TYPES = [
  ...(["here", "leading", "link", "linked", "propose", "accepted", "verdict", "resigned", "ended"] as const),
] as const satisfies readonly Message["type"][];

/** @throws ProtocolError if the value is no message. */
export function expectMessage(value: unknown): Message {
  const fields = expectFields(value, "membership message");
  const epoch = expectEpoch(fields.epoch);
  const type = expectOneOf(fields, "type", TYPES);
  const ballot = () => expectInteger(fields, "ballot", 0, MAX_WORLD_SIZE - 1);
  const unreachable = () => expectSeats(expectArray(fields, "unreachable"));
  switch (type) {
    case "here":
      return {
        ...{ type, epoch, kind: expectOneOf(fields, "kind", KINDS), unreachable: unreachable() },
        accepted: expectOptional(fields, "accepted", (map, field) => expectVote(map[field])),
      };
    case "link":
      return { type, epoch, joiners: expectArray(fields, "joiners").map(expectJoiner) };
    case "linked":
      return { type, epoch, unreachable: unreachable() };
    case "propose":
      return { type, epoch, ballot: ballot(), verdict: expectVerdict(fields.verdict) };
    case "accepted":
      return { type, epoch, ballot: ballot() };
    case "verdict":
      return { type, epoch, verdict: expectVerdict(fields.verdict) };
    case "ended":
      return { type, epoch, error: expectOptional(fields, "error", (map, field) => expectWireError(map[field])) };
    case "leading":
    case "resigned":
      return { type, epoch };
  }
}

/** @throws ProtocolError if the value is no rank that knocks. */
export function expectJoiner(value: unknown): Joiner {
  const fields = expectFields(value, "joiner");
  return {
    number: expectInteger(fields, "number", 1, Number.MAX_SAFE_INTEGER),
    seat: expectInteger(fields, "seat", 0, MAX_WORLD_SIZE - 1),
    entry: expectBytes(fields, "entry"),
  };
}

function expectVote(value: unknown): Vote {
  const fields = expectFields(value, "vote");
  const ballot = expectInteger(fields, "ballot", 0, MAX_WORLD_SIZE - 1);
  return { ballot, verdict: expectVerdict(fields.verdict) };
}
