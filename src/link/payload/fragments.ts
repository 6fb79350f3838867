/**
 * A message as the network gave it: a list of fragments, whose bytes are copied at most once, into their destination.
 */
import { ProtocolError } from "../../errors.ts";
import { HEADER_BYTES, headBytes } from "../../wire/frame.ts";
import { DamagedFrameError, type FrameSums } from "../../wire/frame-sums.ts";
import type { Payload } from "../link.ts";
import { copyBytes } from "./copy-bytes.ts";

/** A payload in pieces. The pieces belong to whoever holds it, so it stays valid as it is. */
export class FragmentsPayload implements Payload {
  readonly byteLength: number;
  readonly fragments: readonly Uint8Array[];

  constructor(fragments: readonly Uint8Array[]) {
    this.fragments = fragments;
    this.byteLength = totalBytes(fragments);
  }

  copyTo(target: Uint8Array): void {
    let at = 0;
    for (const fragment of this.fragments) {
      copyBytes(target, at, fragment);
      at += fragment.byteLength;
    }
  }

  keep(): Payload {
    return this;
  }

  /** All bytes in one array: the fragment itself where there is only one. */
  toBytes(): Uint8Array {
    const first = this.fragments[0];
    if (first?.byteLength === this.byteLength) return first;
    const bytes = new Uint8Array(this.byteLength);
    this.copyTo(bytes);
    return bytes;
  }
}

/** Bytes of all fragments together. */
export function totalBytes(fragments: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const fragment of fragments) bytes += fragment.byteLength;
  return bytes;
}

/**
 * Cuts one message into the frame's head (header, and fingerprint if its flag is set) and the payload behind it. The
 * head is a view where it lies in one fragment, which is the rule, else a copy of its few bytes.
 * @throws ProtocolError if the message is shorter than its head.
 */
export function splitFrame(fragments: readonly Uint8Array[]): { head: Uint8Array; payload: FragmentsPayload } {
  const flags = byteAt(fragments, 3);
  const size = headBytes(flags);
  const first = fragments[0];
  if (first?.byteLength === size) return { head: first, payload: new FragmentsPayload(fragments.slice(1)) };
  if (first && first.byteLength > size) {
    return {
      head: first.subarray(0, size),
      payload: new FragmentsPayload([first.subarray(size), ...fragments.slice(1)]),
    };
  }
  const head = new Uint8Array(size);
  const rest: Uint8Array[] = [];
  let at = 0;
  for (const fragment of fragments) {
    const taken = Math.min(size - at, fragment.byteLength);
    head.set(fragment.subarray(0, taken), at);
    at += taken;
    if (taken < fragment.byteLength) rest.push(fragment.subarray(taken));
  }
  if (at < size) throw new ProtocolError(`a frame of ${at} bytes ends before its head does (${size})`);
  return { head, payload: new FragmentsPayload(rest) };
}

/**
 * As {@link splitFrame}, and checks the frame's checksums. `ends` tells its source and its destination from its head.
 * @throws DamagedFrameError if it is not as it was sent.
 */
export function splitCheckedFrame(
  fragments: readonly Uint8Array[],
  sums: FrameSums,
  ends: (head: Uint8Array) => readonly [source: number, destination: number],
): ReturnType<typeof splitFrame> {
  let frame: ReturnType<typeof splitFrame>;
  try {
    frame = splitFrame(fragments);
  } catch (error) {
    throw error instanceof ProtocolError ? new DamagedFrameError(error.message) : error;
  }
  sums.check(frame.head, frame.payload.fragments, ...ends(frame.head));
  return frame;
}

function byteAt(fragments: readonly Uint8Array[], index: number): number {
  let at = index;
  for (const fragment of fragments) {
    const byte = fragment[at];
    if (byte !== undefined) return byte;
    at -= fragment.byteLength;
  }
  throw new ProtocolError(`a frame of ${totalBytes(fragments)} bytes is shorter than a header (${HEADER_BYTES})`);
}
