/** Control messages between ranks, and the check of every field of one that arrives. docs/protocol.md has the list. */
import { ProtocolError, type WireError } from "../errors.ts";
import { decodeControl, encodeControl } from "./control.ts";

/** About one group. */
export type GroupMessage =
  /** To rank 0: two calls of this sequence differ. */
  | { type: "mismatch"; sequence: number; error: WireError }
  /** From rank 0: the error with which the sequence rejects everywhere. */
  | { type: "verdict"; sequence: number; error: WireError }
  /** To a sender: its message was refused. */
  | { type: "point-to-point-mismatch"; sequence: number; error: WireError }
  /** The group is dead. */
  | { type: "abort"; error: WireError }
  | { type: "probe"; id: number; sequence: number }
  | { type: "probe-reply"; id: number; entered: boolean; waitingFor: number[] };

/** About the job as a whole; sent with group 0. */
export type MeshMessage =
  /** The sender leaves in order: the close that follows is no loss. */
  | { type: "goodbye" }
  /** The sender has found that `rank` (of the job) is gone. */
  | { type: "lost"; rank: number; reason: string };

/** Encodes a control message. */
export function encodeMessage(message: GroupMessage | MeshMessage): Uint8Array {
  return encodeControl(message);
}

/**
 * Decodes a control message.
 * @throws ProtocolError if it is none.
 */
export function decodeMessage(bytes: Uint8Array): GroupMessage | MeshMessage {
  const fields = record(decodeControl(bytes), "a control message");
  switch (fields.type) {
    case "mismatch":
    case "verdict":
    case "point-to-point-mismatch":
      return { type: fields.type, sequence: whole(fields.sequence, "sequence"), error: wireError(fields.error) };
    case "abort":
      return { type: "abort", error: wireError(fields.error) };
    case "probe":
      return { type: "probe", id: whole(fields.id, "id"), sequence: whole(fields.sequence, "sequence") };
    case "probe-reply":
      return {
        type: "probe-reply",
        id: whole(fields.id, "id"),
        entered: fields.entered === true,
        waitingFor: list(fields.waitingFor, "waitingFor").map((rank) => whole(rank, "waitingFor")),
      };
    case "goodbye":
      return { type: "goodbye" };
    case "lost":
      return { type: "lost", rank: whole(fields.rank, "rank"), reason: text(fields.reason, "reason") };
    default:
      throw new ProtocolError(`unknown control message ${String(fields.type)}`);
  }
}

/** An error that a peer reports. */
function wireError(value: unknown): WireError {
  const fields = record(value, "error");
  const details = record(fields.details, "details");
  const known: WireError["details"] = {};
  if (details.group !== undefined) known.group = text(details.group, "group");
  if (details.rank !== undefined) known.rank = whole(details.rank, "rank");
  if (details.collective !== undefined) known.collective = text(details.collective, "collective");
  if (details.sequence !== undefined) known.sequence = whole(details.sequence, "sequence");
  if (details.peer !== undefined) known.peer = whole(details.peer, "peer");
  if (details.url !== undefined) known.url = text(details.url, "url");
  if (details.field !== undefined) known.field = text(details.field, "field");
  if (details.missingRanks !== undefined) {
    known.missingRanks = list(details.missingRanks, "missingRanks").map((rank) => whole(rank, "missingRanks"));
  }
  return {
    code: text(fields.code, "code") as WireError["code"],
    message: text(fields.message, "message"),
    details: known,
  };
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError(`${what} is not a map`);
  }
  return value as Record<string, unknown>;
}

function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new ProtocolError(`${what} is not a list`);
  return value;
}

function whole(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new ProtocolError(`${what} is not a whole number`);
  return value as number;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw new ProtocolError(`${what} is not a string`);
  return value;
}
