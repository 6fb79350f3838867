/**
 * A ticket as text, `<payload>.<key>` in base64url, as a server hands it to a page. The payload says who may come, and crosses the
 * wire; the key, HMAC-SHA-256 of the payload under the token, never does.
 */
import { decodeControl, encodeControl } from "../control.ts";
import {
  expectBytes,
  expectFields,
  expectInteger,
  expectOneOf,
  expectOptional,
  expectString,
  type Fields,
} from "../schema.ts";

export const TICKET_ID_BYTES = 16;
export const KEY_BYTES = 32;
/** Largest payload: the group's name, numbers, and their names. */
export const MAX_PAYLOAD_BYTES = 1_536;
export const TICKET_ROLES = ["rank", "store"] as const;

/** What a ticket says. */
export interface TicketFacts {
  /** A random number by which a hub knows one that it has seen. */
  readonly id: Uint8Array;
  /** The group, or the store of a hub, to which it lets in. */
  readonly group: string;
  /** The rank for which it is, or null for any. */
  readonly rank: number | null;
  /** "rank" to become a member of the group, "store" to use the store of that name. */
  readonly role: (typeof TICKET_ROLES)[number];
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Most bytes that the hub holds of this rank, or null for as many as of any. */
  readonly maxBytesInFlight: number | null;
}

/** A ticket in its two parts. */
export interface Ticket {
  readonly payload: Uint8Array;
  readonly key: Uint8Array;
}

/** The bytes of the facts. */
export function encodePayload({ id, group, rank, role, expiresAt, maxBytesInFlight }: TicketFacts): Uint8Array {
  return encodeControl({ ticket: 1, id, group, rank, role, expiresAt, maxBytesInFlight });
}

/**
 * The facts of a payload whose key has been proved.
 * @throws ProtocolError if it has none.
 */
export function decodePayload(payload: Uint8Array): TicketFacts {
  const fields = expectFields(decodeControl(payload), "ticket");
  const whole = (map: Fields, field: string) => expectInteger(map, field, 0, Number.MAX_SAFE_INTEGER);
  expectInteger(fields, "ticket", 1, 1);
  return {
    id: expectBytes(fields, "id", TICKET_ID_BYTES),
    group: expectString(fields, "group"),
    rank: expectOptional(fields, "rank", whole),
    role: expectOneOf(fields, "role", TICKET_ROLES),
    expiresAt: whole(fields, "expiresAt"),
    maxBytesInFlight: expectOptional(fields, "maxBytesInFlight", whole),
  };
}

/** The text of a ticket. */
export function ticketText({ payload, key }: Ticket): string {
  return [payload, key].map(toBase64Url).join(".");
}

/**
 * The parts of a ticket's text.
 * @throws TypeError if it is none.
 */
export function ticketOf(text: string): Ticket {
  try {
    const [payload, key, ...rest] = text.split(".").map(fromBase64Url);
    if (payload && payload.length <= MAX_PAYLOAD_BYTES && key?.length === KEY_BYTES && rest.length === 0) {
      return { payload, key };
    }
  } catch {
    // No base64url.
  }
  // Its text is a secret.
  throw new TypeError("the option ticket is no text that mintTicket made: pass it as the server sent it");
}

function toBase64Url(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text: string): Uint8Array {
  if (!/^[\w-]+$/.test(text)) throw new TypeError("no base64url");
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}
