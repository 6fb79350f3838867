/**
 * Frames, the messages of a link: a fixed header, a fingerprint on the first frame of every exchange, then raw bytes.
 * All numbers are little-endian. docs/protocol.md has the same layout with its reasons.
 *
 *   byte  size  header
 *      0     1  magic 0xCC
 *      1     1  version 7
 *      2     1  kind: 1 data · 2 request to send · 3 clear to send · 4 consumed · 5 announce · 6 control ·
 *                7 fold · 8 wake
 *      3     1  flags: 1 fingerprint follows · 2 granted (answers a clear-to-send) · 4 point-to-point
 *      4     4  peer: towards a hub the destination, from a hub or on a direct link the source (ranks of the whole job)
 *      8     4  epoch of the membership
 *     12     4  slot of the exchange
 *     16     8  group id (below 2^52)
 *     24     8  sequence of the exchange (below 2^53)
 *     32     4  payload bytes (of a request to send: of the message to come)
 *     36     4  request number, or bytes consumed; of a fold towards the hub: 1 has a part, 2 wants the result
 *     40     8  checksum of the payload, or 0 on a link without checksums (frame-sums.ts)
 *     48     8  checksum of the header and the fingerprint, or 0
 *
 *   byte  size  fingerprint (after the header)
 *      0     1  collective code
 *      1     1  dtype code, 255 if none
 *      2     1  reduce op code, 255 if none; 64 more where sums of shorter floats are added in f32
 *      3     1  calls that the rank was refused before this one, since the one before; at most 255
 *      4     4  root, 0xFFFFFFFF if none; the tag of a point-to-point message
 *      8     8  count of elements, 2^53 - 1 where ranks may have different ones
 *     16     8  hash of what else must be equal: list lengths, ranks of a new group; 0 if nothing
 *     24     8  hash of a custom operation's name and wgsl, of the kind of a new group's backend, or of the device for which
 *                one is registered; 0 if none
 *     32     4  hash of the algorithm's name
 *     36     4  segment bytes
 *     40     8  the persistent call that is made or started: the sequence of its making (below 2^52); of a part of a composed call 2^52
 *               + that call's kind (COMPOSED_CALLS of fingerprint.ts); 0 for any other call
 *     48     8  number of the call among the plain ones of the rank's program, or of the composed call of which it is a part among those
 *               (call-numbers.ts of the group); of a point-to-point message its sequence
 */
import { ProtocolError } from "../errors.ts";

export const HEADER_BYTES = 56;
export const FINGERPRINT_BYTES = 56;
export const MAGIC = 0xcc;
export const VERSION = 7;
/** Where the payload's checksum stands in a header, and that of the header and the fingerprint. */
export const PAYLOAD_SUM_AT = 40;
export const HEAD_SUM_AT = 48;
/** Where the field `peer` stands. */
export const PEER_AT = 4;
const SEQUENCE_AT = 24;

/** Destination or source of a frame that is for, or from, the hub itself. */
export const HUB_PEER = 0xffffffff;

export const FrameKind = {
  DATA: 1,
  REQUEST: 2,
  CLEAR: 3,
  CONSUMED: 4,
  ANNOUNCE: 5,
  CONTROL: 6,
  FOLD: 7,
  WAKE: 8,
} as const;
export const FrameFlag = { FINGERPRINT: 1, GRANTED: 2, POINT_TO_POINT: 4 } as const;
/** Bits of `request` in a fold towards the hub. */
export const FoldFlag = { HAS_PART: 1, WANTS: 2 } as const;

/** A header's fields. */
export interface Header {
  kind: number;
  flags: number;
  peer: number;
  epoch: number;
  slot: number;
  group: number;
  sequence: number;
  payloadBytes: number;
  request: number;
}

/**
 * The part of a call that must be equal on every rank. Each field has a line in the tables and functions that name them all, one by one, which
 * is four times as fast as a loop: `encodeHeader`, `decodeFingerprint`, `writeCall`, `isSameCall`, `FINGERPRINT_LABELS`
 * (call-words.ts). test/wire/fingerprint.test.ts holds them against each other.
 */
export interface Fingerprint {
  refused: number;
  persistent: number;
  collective: number;
  dtype: number;
  op: number;
  customOp: number;
  root: number;
  count: number;
  detail: number;
  algorithm: number;
  segmentBytes: number;
  /**
   * The call's number in the program less its sequence, which stays the same from one plain call to the next: so a repeated call has the
   * same fingerprint, and it is kept. It may be below 0.
   */
  ahead: number;
}

/** A user's words for the field `refused`, by which every rank knows that all have heard of a refused call. */
export const REFUSED_LABEL = "number of calls refused before this one";

/** The value of `dtype` and `op` where there is none. */
export const NO_CODE = 255;
/** Added to the code of an operation whose sums are added in f32. */
export const IN_F32 = 64;
/** The greatest value of `refused`, which stands for more too. */
export const MOST_REFUSED = 255;
/** The value of `root` where there is none. */
export const NO_ROOT = 0xffffffff;
/** The value of `count` where ranks may have different ones. */
export const NO_COUNT = Number.MAX_SAFE_INTEGER;

const U32 = 0x1_0000_0000;

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function setU64(data: DataView, offset: number, value: number): void {
  data.setUint32(offset, value % U32, true);
  data.setUint32(offset + 4, Math.floor(value / U32), true);
}

function getU64(data: DataView, offset: number): number {
  return data.getUint32(offset + 4, true) * U32 + data.getUint32(offset, true);
}

/** The header's bytes, with the fingerprint's behind them if there is one. */
export function encodeHeader(header: Header, fingerprint: Fingerprint | null): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (fingerprint ? FINGERPRINT_BYTES : 0));
  const data = view(bytes);
  bytes[0] = MAGIC;
  bytes[1] = VERSION;
  bytes[2] = header.kind;
  bytes[3] = header.flags | (fingerprint ? FrameFlag.FINGERPRINT : 0);
  data.setUint32(4, header.peer, true);
  data.setUint32(8, header.epoch, true);
  data.setUint32(12, header.slot, true);
  setU64(data, 16, header.group);
  setU64(data, SEQUENCE_AT, header.sequence);
  data.setUint32(32, header.payloadBytes, true);
  data.setUint32(36, header.request, true);
  if (fingerprint) {
    const at = HEADER_BYTES;
    bytes[at] = fingerprint.collective;
    bytes[at + 1] = fingerprint.dtype;
    bytes[at + 2] = fingerprint.op;
    bytes[at + 3] = fingerprint.refused;
    data.setUint32(at + 4, fingerprint.root, true);
    setU64(data, at + 8, fingerprint.count);
    setU64(data, at + 16, fingerprint.detail);
    setU64(data, at + 24, fingerprint.customOp);
    data.setUint32(at + 32, fingerprint.algorithm, true);
    data.setUint32(at + 36, fingerprint.segmentBytes, true);
    setU64(data, at + 40, fingerprint.persistent);
    setU64(data, at + 48, header.sequence + fingerprint.ahead);
  }
  return bytes;
}

/** How many bytes stand before the payload: the header's, and the fingerprint's if the flag says so. */
export function headBytes(flags: number): number {
  return HEADER_BYTES + (flags & FrameFlag.FINGERPRINT ? FINGERPRINT_BYTES : 0);
}

/**
 * Reads a header.
 * @throws ProtocolError if it is too short, or not of this protocol and version.
 */
export function decodeHeader(bytes: Uint8Array): Header {
  if (bytes.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`a frame of ${bytes.byteLength} bytes is shorter than a header (${HEADER_BYTES})`);
  }
  if (bytes[0] !== MAGIC || bytes[1] !== VERSION) {
    throw new ProtocolError(`not a webccl frame of version ${VERSION}: it begins with ${bytes[0]}, ${bytes[1]}`);
  }
  const data = view(bytes);
  return {
    kind: data.getUint8(2),
    flags: data.getUint8(3),
    peer: data.getUint32(4, true),
    epoch: data.getUint32(8, true),
    slot: data.getUint32(12, true),
    group: getU64(data, 16),
    sequence: getU64(data, SEQUENCE_AT),
    payloadBytes: data.getUint32(32, true),
    request: data.getUint32(36, true),
  };
}

/**
 * Reads the fingerprint behind a header whose flag says that there is one.
 * @throws ProtocolError if the bytes end before it does.
 */
export function decodeFingerprint(bytes: Uint8Array): Fingerprint {
  if (bytes.byteLength < HEADER_BYTES + FINGERPRINT_BYTES) {
    throw new ProtocolError(`a frame of ${bytes.byteLength} bytes ends before its fingerprint does`);
  }
  const data = view(bytes);
  const at = HEADER_BYTES;
  return {
    collective: data.getUint8(at),
    dtype: data.getUint8(at + 1),
    op: data.getUint8(at + 2),
    refused: data.getUint8(at + 3),
    root: data.getUint32(at + 4, true),
    count: getU64(data, at + 8),
    detail: getU64(data, at + 16),
    customOp: getU64(data, at + 24),
    algorithm: data.getUint32(at + 32, true),
    segmentBytes: data.getUint32(at + 36, true),
    persistent: getU64(data, at + 40),
    ahead: getU64(data, at + 48) - getU64(data, SEQUENCE_AT),
  };
}

/** The peer field. */
export function peerOf(header: Uint8Array): number {
  return view(header).getUint32(PEER_AT, true);
}

/** Overwrites the peer field, as a hub does when it relays. */
export function setPeer(header: Uint8Array, peer: number): void {
  view(header).setUint32(PEER_AT, peer, true);
}

/** The kinds of frames that have the payload which they declare; a request to send declares a later one. */
const CARRIERS: ReadonlySet<number> = new Set([FrameKind.DATA, FrameKind.CONTROL, FrameKind.FOLD]);

/** How many bytes stand behind the head of a frame, as its header says. */
export function carriedBytes({ kind, payloadBytes }: Header): number {
  return CARRIERS.has(kind) ? payloadBytes : 0;
}
