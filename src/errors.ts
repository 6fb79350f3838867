/**
 * Errors someone would catch. A caller's mistake is a plain TypeError or RangeError and leaves the group whole;
 * everything else is a {@link WebcclError} with a stable `code`. docs/errors.md lists every code and what to do.
 */

/** Stable identifiers of the errors, one per class. */
export type ErrorCode =
  | "MISMATCH"
  | "PEER_LOST"
  | "TIMEOUT"
  | "ABORTED"
  | "HUB_LOST"
  | "INTEGRITY"
  | "NO_ADAPTER"
  | "DEVICE_LOST"
  | "UNSUPPORTED"
  | "STORE"
  | "ADMISSION"
  | "PROTOCOL";

/**
 * Everything an error carries beyond its message; it crosses the wire, so that every rank rejects with the same one. Ranks
 * are ranks of the named group.
 */
export interface ErrorDetails {
  /** The group's name. */
  group?: string;
  /** The rank on which it happened first. */
  rank?: number;
  /** The call's name, such as "allReduce". */
  collective?: string;
  /** The call's number in its group. */
  sequence?: number;
  /** What became of the caller's tensors: "untouched", or "overwritten" if any byte of them may have changed. */
  tensors?: "untouched" | "overwritten";
  /** The rank that was lost, for PeerLostError; one end of the link, for IntegrityError, whose other is `rank`. */
  peer?: number;
  /** Ranks that did not arrive, for TimeoutError. */
  missingRanks?: number[];
  /** The hub's address, for HubLostError, and for IntegrityError if a link to a hub is meant. */
  url?: string;
  /** The differing field and both sides, for MismatchError. */
  field?: string;
  /** The error that led to this one; it does not cross the wire. */
  cause?: unknown;
}

/** Base of webccl's errors. */
export class WebcclError extends Error {
  /** The name of the class. */
  override readonly name: string = "WebcclError";
  /** Tells the kind of error, and stays the same from version to version: docs/errors.md has each. */
  readonly code: ErrorCode;
  /** The facts of the message, as fields. */
  readonly details: Readonly<ErrorDetails>;

  /** An error with this code, this message, and the facts of it as fields. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = details;
  }

  /** What became of the caller's tensors, where a collective was running. */
  get tensors(): "untouched" | "overwritten" | undefined {
    return this.details.tensors;
  }
}

/** Ranks called different collectives, or the same with different arguments. The group is whole. */
export class MismatchError extends WebcclError {
  /** "MismatchError". */
  override readonly name = "MismatchError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("MISMATCH", message, details);
  }
}

/** A rank's process, tab or link went away. The group is dead. */
export class PeerLostError extends WebcclError {
  /** "PeerLostError". */
  override readonly name = "PeerLostError";
  /** The rank that was lost, in the group of the call that rejects. */
  readonly rank: number;
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails & { peer: number }) {
    super("PEER_LOST", message, details);
    this.rank = details.peer;
  }
}

/** An operation or a wait took longer than its `timeoutMs`. For a collective, the group is dead. */
export class TimeoutError extends WebcclError {
  /** "TimeoutError". */
  override readonly name = "TimeoutError";
  /** The ranks that had not arrived, as far as known. */
  readonly missingRanks: readonly number[];
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("TIMEOUT", message, details);
    this.missingRanks = details.missingRanks ?? [];
  }
}

/** The group was aborted, by this rank or another, or an AbortSignal fired. The group is dead. */
export class AbortedError extends WebcclError {
  /** "AbortedError". */
  override readonly name = "AbortedError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("ABORTED", message, details);
  }
}

/** The link to the hub closed, and no rank hosted it. The group is dead. */
export class HubLostError extends WebcclError {
  /** "HubLostError". */
  override readonly name = "HubLostError";
  /** The hub's address. */
  readonly url: string;
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails & { url: string }) {
    super("HUB_LOST", message, details);
    this.url = details.url;
  }
}

/**
 * A link delivered other bytes than were sent, as their checksums showed: the network, a proxy or memory changed them. The
 * message names the two ends of the link. The group is dead.
 */
export class IntegrityError extends WebcclError {
  /** "IntegrityError". */
  override readonly name = "IntegrityError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("INTEGRITY", message, details);
  }
}

/** No GPU adapter answered; the message says what to install or switch on in this runtime. */
export class NoAdapterError extends WebcclError {
  /** "NoAdapterError". */
  override readonly name = "NoAdapterError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("NO_ADAPTER", message, details);
  }
}

/** The GPU device was lost or destroyed while work was under way. The group is dead. */
export class DeviceLostError extends WebcclError {
  /** "DeviceLostError". */
  override readonly name = "DeviceLostError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("DEVICE_LOST", message, details);
  }
}

/** Something this runtime, backend, executor or transport cannot do; the message says which one can. */
export class UnsupportedError extends WebcclError {
  /** "UnsupportedError". */
  override readonly name = "UnsupportedError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("UNSUPPORTED", message, details);
  }
}

/** A store could not do what it was asked: a key misused, a file or server out of reach. */
export class StoreError extends WebcclError {
  /** "StoreError". */
  override readonly name = "StoreError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("STORE", message, details);
  }
}

/** A hub or a rank refused the connection: token, ticket, origin, group size, or a rank already taken. Or it did not prove the token. */
export class AdmissionError extends WebcclError {
  /** "AdmissionError". */
  override readonly name = "AdmissionError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("ADMISSION", message, details);
  }
}

/** The other side sent what the protocol does not allow. */
export class ProtocolError extends WebcclError {
  /** "ProtocolError". */
  override readonly name = "ProtocolError";
  /** An error with this message, and the facts of it as fields. */
  constructor(message: string, details: ErrorDetails = {}) {
    super("PROTOCOL", message, details);
  }
}

/** An error as it crosses the wire: plain values only. */
export interface WireError {
  code: ErrorCode;
  message: string;
  details: Omit<ErrorDetails, "cause" | "tensors">;
}

/** Most UTF-16 units of an error's message on the wire, and of a text in its details. */
export const MAX_WIRE_MESSAGE = 65_536;
export const MAX_WIRE_TEXT = 4_096;
/** Most missing ranks that are told. */
export const MAX_WIRE_RANKS = 1_024;

/** The part of `error` that peers are told, whatever its details hold. What is too long for them is cut, what they would refuse left out. */
export function toWireError({ code, message, details }: WebcclError): WireError {
  const told: Record<string, unknown> = {};
  for (const field of ["group", "collective", "url", "field"] as const) {
    const text = details[field];
    if (typeof text === "string") told[field] = cut(text, MAX_WIRE_TEXT);
  }
  for (const field of ["rank", "peer", "sequence"] as const) if (isCount(details[field])) told[field] = details[field];
  const { missingRanks } = details;
  if (Array.isArray(missingRanks)) told.missingRanks = missingRanks.filter(isCount).slice(0, MAX_WIRE_RANKS);
  const isNameless = code === "PEER_LOST" && told.peer === undefined;
  return { code: isNameless ? "ABORTED" : code, message: cut(message, MAX_WIRE_MESSAGE), details: told };
}

/** Is it a rank, or another number that peers take? */
function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 0xffff_ffff;
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** By code: makes an error of its class, rebuilt on another rank. */
const MAKERS: Readonly<Record<ErrorCode, (message: string, details: ErrorDetails) => WebcclError>> = {
  MISMATCH: (message, details) => new MismatchError(message, details),
  PEER_LOST: (message, details) => new PeerLostError(message, { ...details, peer: details.peer ?? -1 }),
  TIMEOUT: (message, details) => new TimeoutError(message, details),
  ABORTED: (message, details) => new AbortedError(message, details),
  HUB_LOST: (message, details) => new HubLostError(message, { ...details, url: details.url ?? "" }),
  INTEGRITY: (message, details) => new IntegrityError(message, details),
  NO_ADAPTER: (message, details) => new NoAdapterError(message, details),
  DEVICE_LOST: (message, details) => new DeviceLostError(message, details),
  UNSUPPORTED: (message, details) => new UnsupportedError(message, details),
  STORE: (message, details) => new StoreError(message, details),
  ADMISSION: (message, details) => new AdmissionError(message, details),
  PROTOCOL: (message, details) => new ProtocolError(message, details),
};

/** Every code. */
export const ERROR_CODES = Object.keys(MAKERS) as readonly ErrorCode[];

/** The error of the class that `code` names, rebuilt on another rank. `extra` adds what only this rank knows. */
export function fromWireError({ code, message, details }: WireError, extra: ErrorDetails = {}): WebcclError {
  const all = { ...details, ...extra };
  // A page's worker may have another version of webccl, with codes of its own.
  return Object.hasOwn(MAKERS, code) ? MAKERS[code](message, all) : new WebcclError(code, message, all);
}
