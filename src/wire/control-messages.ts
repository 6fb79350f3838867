/** Control messages between ranks, and the check of every field of one that arrives. docs/protocol.md has the list. */
import type { WireError } from "../errors.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { expectArray, expectFields, expectInteger, expectOneOf, expectString, type Fields } from "./schema.ts";
import { expectWireError } from "./wire-error.ts";

/** About one group. */
export type GroupMessage =
  /** To rank 0: two calls of this sequence differ. */
  | { type: "mismatch"; sequence: number; error: WireError }
  /** From rank 0: the error with which the sequence rejects everywhere. */
  | { type: "verdict"; sequence: number; error: WireError }
  /** To a sender that waits for it: its message has met a receive. */
  | { type: "point-to-point-ready"; sequence: number }
  /** To a sender: its message was refused. */
  | { type: "point-to-point-mismatch"; sequence: number; error: WireError }
  /** The group is dead. */
  | { type: "abort"; error: WireError }
  /** The sender leaves this group in order, and stays in the job. */
  | { type: "leave" }
  | { type: "probe"; id: number; sequence: number }
  | { type: "probe-reply"; id: number; entered: boolean; waitingFor: number[] };

/** About the job as a whole; sent with group 0. */
export type MeshMessage =
  /** The sender leaves in order: the close that follows is no loss. */
  | { type: "goodbye" }
  /** The sender has found that `rank` (of the job) is gone. */
  | { type: "lost"; rank: number; reason: string }
  /** A frame of the receiver came to the sender damaged. */
  | { type: "damaged"; seen: string }
  /** About the epoch to come: `membership/messages.ts` checks it, where it is loaded. */
  | { type: "membership"; message: unknown };

/** Is the message about the job as a whole? */
export function isAboutJob(message: GroupMessage | MeshMessage): message is MeshMessage {
  return ["goodbye", "lost", "damaged", "membership"].includes(message.type);
}

/** Encodes a control message. */
export function encodeMessage(message: GroupMessage | MeshMessage): Uint8Array {
  return encodeControl(message);
}

/**
 * Decodes a control message.
 * @throws ProtocolError if it is none.
 */
export function decodeMessage(bytes: Uint8Array): GroupMessage | MeshMessage {
  const fields = expectFields(decodeControl(bytes), "message");
  const type = expectOneOf(fields, "type", TYPES);
  switch (type) {
    case "mismatch":
    case "verdict":
    case "point-to-point-mismatch":
      return { type, sequence: whole(fields, "sequence"), error: expectWireError(fields.error) };
    case "point-to-point-ready":
      return { type, sequence: whole(fields, "sequence") };
    case "abort":
      return { type, error: expectWireError(fields.error) };
    case "probe":
      return { type, id: whole(fields, "id"), sequence: whole(fields, "sequence") };
    case "probe-reply":
      return {
        type,
        id: whole(fields, "id"),
        entered: fields.entered === true,
        waitingFor: expectArray(fields, "waitingFor").map((_, i, ranks) => whole({ rank: ranks[i] }, "rank")),
      };
    case "leave":
    case "goodbye":
      return { type };
    case "lost":
      return { type, rank: whole(fields, "rank"), reason: expectString(fields, "reason") };
    case "damaged":
      return { type, seen: expectString(fields, "seen") };
    case "membership":
      return { type, message: fields.message };
  }
}

const TYPES = [
  "mismatch",
  "verdict",
  "point-to-point-ready",
  "point-to-point-mismatch",
  "abort",
  "leave",
  "probe",
  "probe-reply",
  "goodbye",
  "lost",
  "damaged",
  "membership",
] as const satisfies readonly (GroupMessage | MeshMessage)["type"][];

function whole(fields: Fields, field: string): number {
  return expectInteger(fields, field, 0, Number.MAX_SAFE_INTEGER);
}
