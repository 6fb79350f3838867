/**
 * Link: how do bytes get from rank to rank?
 *
 * A {@link Socket} carries messages. A {@link Link} carries frames (docs/protocol.md) to one peer. An {@link Exchange},
 * which algorithms use, is the traffic of one collective or of one point-to-point message, matched and bounded.
 */
import type { WebcclError } from "../errors.ts";
import type { Handle } from "../executor/executor.ts";
import type { FrameSums } from "../wire/frame-sums.ts";

/** How two ranks are joined; select.ts chooses algorithms by it. */
export type LinkKind =
  | "memory"
  | "shared-memory"
  | "mapped-memory"
  | "shared-file"
  | "message-port"
  | "websocket"
  | "webrtc"
  | "hub";

/** A message-oriented, ordered, reliable connection: a WebSocket of any runtime. */
export interface Socket {
  /** Sends the parts as one binary message. The parts must not change until `onSent` is called. */
  send(parts: readonly Uint8Array[], onSent?: () => void): void;
  /** Bytes accepted by `send` that the operating system has not taken yet. */
  readonly bufferedBytes: number;
  /** Stops reading, so that the other side feels back-pressure. Does nothing where the platform has no such thing. */
  pause(): void;
  resume(): void;
  /** Sends the buffered bytes, then closes. `code` is a WebSocket close code. */
  close(code?: number, reason?: string): void;
  /** Closes at once. */
  terminate(): void;
  /** Has it closed, and waits no message for its owner that came before? Whether the owner has been told of the close or not. */
  readonly isClosed: boolean;
  /** Set once by the owner, before anything can arrive. Fragments belong to the receiver and stay valid. */
  onMessage: (fragments: readonly Uint8Array[]) => void;
  /** Instead of calling `onMessage`, hands messages to `sink` as they arrive. */
  streamTo(sink: ByteSink): void;
  /** From now on nothing is read into room that a sink gave. */
  withdrawRoom(): void;
  /** Called exactly once. */
  onClose: (code: number, reason: string) => void;
}

/** Takes a connection's messages as they arrive. */
export interface ByteSink {
  /**
   * `bytes` is valid during the call, or lies where `room` said. `last` is true with a message's last bytes, which may
   * be none.
   */
  push(bytes: Uint8Array, last: boolean): void;
  /** Where the next bytes of the message under way belong, for a socket that can read them there; null if that is not known. */
  room(): Uint8Array | null;
}

/** The bytes behind a frame's header as they arrive; valid during the call that hands them over. */
export interface Payload {
  /** How many bytes it has. */
  readonly byteLength: number;
  /** The message itself, where it was passed by reference; then there are no bytes to copy. */
  readonly handle?: Handle;
  /** Copies all bytes to the start of `target`, which is at least as long. */
  copyTo(target: Uint8Array): void;
  /** A payload that stays valid, copied only where it must be. */
  keep(): Payload;
  /**
   * Set where a message is handed over before all of it has come, as only frames of kind data are: puts the bytes where
   * they belong as they come. `copyTo` cannot be called then.
   */
  readonly fill?: (to: Destination) => void;
}

/** Where a message's bytes belong. */
export interface Destination {
  /** Where the bytes go. */
  readonly into: Uint8Array;
  /** From now on nothing may be written to `into`. */
  readonly cancelled: boolean;
  /** Called when it is cancelled. Whoever lends `into` to others sets it. */
  onCancelled: (() => void) | null;
  /** All bytes are there. */
  done(): void;
}

/** The checksums of a link's frames: who writes and checks them, and the ranks of the job at its two ends. */
export interface LinkSums {
  readonly sums: FrameSums;
  readonly own: number;
  readonly other: number;
}

/** Called by a link. */
export interface LinkReceiver {
  /** `header` is valid during the call. */
  onFrame(header: Uint8Array, payload: Payload): void;
  /** A frame came otherwise than it was sent, as `seen` tells. The link takes no other, and closes. */
  onDamaged(seen: string): void;
  /** The link has closed and nothing more arrives. Called exactly once. */
  onClose(): void;
}

/** A link between ranks of one thread: it also passes a message by reference, as a {@link Handle}. */
export interface HandleLink extends Link {
  readonly kind: "memory";
  /** Like `send`. The receiver of the frame releases the handle. */
  sendHandle(header: Uint8Array, handle: Handle): void;
}

/** Does this link pass handles? */
export function passesHandles(link: Link): link is HandleLink {
  return link.kind === "memory";
}

/** An ordered, reliable way to one peer. */
export interface Link {
  /** What it runs over. */
  readonly kind: LinkKind;
  /** Sends one frame. `header` and `payload` must not change until `onSent` is called. */
  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void;
  /** Starts delivery; frames that came before are delivered now, in order. */
  start(receiver: LinkReceiver): void;
  /** Sends the frames it has accepted, then closes. */
  close(): void;
}

/**
 * All messages of one collective on one rank. Messages from one peer in one slot arrive in the order they were sent;
 * different slots are independent of each other. Peers are ranks of the group.
 */
export interface Exchange {
  /** Resolves when `bytes` may be overwritten, which may be before the peer has received them. */
  send(peer: number, bytes: Uint8Array, slot: number): Promise<void>;
  /**
   * Resolves when the next message from `peer` in `slot`, which must be `into.byteLength` long, fills `into`. If it came by
   * reference and `adopt` takes it (returns true), `into` stays as it is.
   */
  recv(peer: number, into: Uint8Array, slot: number, adopt?: (handle: Handle) => boolean): Promise<void>;
  /** Is `peer` in this thread, so that it takes messages by reference? */
  takesHandles(peer: number): boolean;
  /** Like `send`, by reference. Resolves when the span may be overwritten. */
  sendHandle(peer: number, handle: Omit<Handle, "release">, slot: number): Promise<void>;
  /** Counts of data messages sent and received by this rank in this exchange; announcements and grants are not in them. */
  readonly traffic: Readonly<Traffic>;
  /** Why the exchange failed, or null. After a failure nothing is written to any `into`. */
  readonly error: WebcclError | null;
}

/**
 * What a hub can do with one collective's data beyond relaying it, where every rank of the group is connected to the
 * hub. An algorithm that uses it says so in select.ts.
 */
export interface HubReduction {
  /**
   * The group's ranks in sets whose members are all linked directly; each in ascending order, the sets in the order of
   * their first ranks. The same on every rank.
   */
  readonly clusters: readonly (readonly number[])[];
  /**
   * Comes to `slot`; every rank of the group does so once. Resolves when all have come: `into` then holds the fold, in
   * rank order, of the parts that ranks gave, or the only part where the collective has no operation. All parts of a
   * slot are as long as `into`. A part must not change until this resolves, and may be `into` itself.
   */
  combine(slot: number, part: Uint8Array | null, into: Uint8Array | null): Promise<void>;
}

/** Counts of one rank's messages. */
export interface Traffic {
  messagesSent: number;
  messagesReceived: number;
  bytesSent: number;
  bytesReceived: number;
}
