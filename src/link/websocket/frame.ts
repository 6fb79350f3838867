/**
 * WebSocket frames (RFC 6455, section 5.2): the bytes before a frame's payload. All numbers are big-endian.
 *
 *   byte  bits  what
 *      0     1  fin: the last frame of its message
 *            3  reserved, zero
 *            4  opcode
 *      1     1  masked: every frame of a client is, none of a server
 *            7  payload bytes; 126: they stand in the next 2 bytes; 127: in the next 8
 *           32  the mask, if masked
 */

/** Kinds of frames. Those from CLOSE on are control frames: short, and never split. */
export const Opcode = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const;

/** Why a connection was closed (RFC 6455, section 7.4.1). */
export const CloseCode = {
  NORMAL: 1000,
  PROTOCOL_ERROR: 1002,
  UNSUPPORTED_DATA: 1003,
  NO_STATUS: 1005,
  ABNORMAL: 1006,
  TOO_BIG: 1009,
} as const;

/** Most bytes of a control frame's payload. */
export const MAX_CONTROL_BYTES = 125;
/** Most bytes of a frame's header. */
export const MAX_FRAME_HEADER_BYTES = 14;

const FIN = 0x80;
const MASKED = 0x80;
const MASK_BYTES = 4;
const U32 = 0x1_0000_0000;

/** Bytes of the header that {@link writeFrameHeader} writes. */
export function frameHeaderBytes(payloadBytes: number, masked: boolean): number {
  return (payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10) + (masked ? MASK_BYTES : 0);
}

/**
 * Writes the header of a frame that is a whole message to the start of `target`, whose bytes are zero, and returns its
 * length. A mask is all zeros: valid, and the payload goes out as it is. The mask protects proxies from bytes that
 * scripts of a browser choose, and this is no browser.
 */
export function writeFrameHeader(target: Uint8Array, opcode: number, payloadBytes: number, masked: boolean): number {
  target[0] = FIN | opcode;
  const maskBit = masked ? MASKED : 0;
  if (payloadBytes < 126) {
    target[1] = maskBit | payloadBytes;
  } else {
    const long = payloadBytes >= 65_536;
    target[1] = maskBit | (long ? 127 : 126);
    let rest = payloadBytes;
    for (let at = long ? 9 : 3; at > 1; at--) {
      target[at] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
  return frameHeaderBytes(payloadBytes, masked);
}

/** A control frame. `payload` has at most {@link MAX_CONTROL_BYTES}. */
export function controlFrame(opcode: number, payload: Uint8Array, masked: boolean): Uint8Array {
  const header = frameHeaderBytes(payload.byteLength, masked);
  const frame = new Uint8Array(header + payload.byteLength);
  writeFrameHeader(frame, opcode, payload.byteLength, masked);
  frame.set(payload, header);
  return frame;
}

/** The payload of a close frame; a reason that does not fit is cut. */
export function closePayload(code: number, reason: string): Uint8Array {
  const payload = new Uint8Array(MAX_CONTROL_BYTES);
  const { written } = new TextEncoder().encodeInto(reason, payload.subarray(2));
  payload[0] = code >> 8;
  payload[1] = code;
  return payload.subarray(0, 2 + written);
}

/**
 * The code and the reason of a close frame.
 * @returns null if the payload is not allowed: one byte, a code that is none or is never sent, a reason that is not
 *   UTF-8.
 */
export function readClosePayload(payload: Uint8Array): { code: number; reason: string } | null {
  const [high, low] = payload;
  if (high === undefined) return { code: CloseCode.NO_STATUS, reason: "" };
  if (low === undefined) return null;
  const code = high * 256 + low;
  if (!maySend(code)) return null;
  try {
    return { code, reason: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload.subarray(2)) };
  } catch {
    return null;
  }
}

/** 1004 to 1006 and 1015 stand for codes that did not come; 1016 to 2999 are not assigned. */
function maySend(code: number): boolean {
  return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

/** The fields of a header. */
export interface FrameHeader {
  readonly fin: boolean;
  readonly reserved: boolean;
  readonly opcode: number;
  readonly masked: boolean;
  readonly payloadBytes: number;
  /** Not the shortest way to write the length, or more than 2^53. */
  readonly overlong: boolean;
  /** Where the mask begins. */
  readonly maskAt: number;
}

/** Bytes of a header whose second byte is this. */
export function headerBytesOf(second: number): number {
  const length = second & 0x7f;
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & MASKED ? MASK_BYTES : 0);
}

/** Reads a header that is all there. */
export function readFrameHeader(header: DataView): FrameHeader {
  const first = header.getUint8(0);
  const second = header.getUint8(1);
  const short = second & 0x7f;
  let payloadBytes = short;
  let overlong = false;
  let maskAt = 2;
  if (short === 126) {
    payloadBytes = header.getUint16(2);
    overlong = payloadBytes < 126;
    maskAt = 4;
  } else if (short === 127) {
    const high = header.getUint32(2);
    payloadBytes = high * U32 + header.getUint32(6);
    overlong = payloadBytes < 65_536 || high >= 2 ** 21;
    maskAt = 10;
  }
  return {
    fin: (first & FIN) !== 0,
    reserved: (first & 0x70) !== 0,
    opcode: first & 0x0f,
    masked: (second & MASKED) !== 0,
    payloadBytes,
    overlong,
    maskAt,
  };
}
