/**
 * WebSocketReceiver: the receiving half of a WebSocket (RFC 6455) as a state machine over chunks of bytes, cut wherever the
 * network cut them. Data is handed on as it comes: nothing is joined, and nothing is allocated that a header declares.
 *
 *   header ── data, bytes to come ──▶ payload ── the last of them ──▶ header
 *      │                                                                ▲
 *      └── ping, pong, close ──▶ control, up to 125 bytes ──────────────┘
 */
import {
  CloseCode,
  type FrameHeader,
  headerBytesOf,
  MAX_CONTROL_BYTES,
  MAX_FRAME_HEADER_BYTES,
  Opcode,
  readClosePayload,
  readFrameHeader,
} from "./frame.ts";

/** Most frames of one message (S9). */
export const MAX_MESSAGE_FRAMES = 4_096;

/** The other side broke the protocol; `code` is to be told to it. */
export class WebSocketViolation extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Told of all that arrives. */
export interface WebSocketEvents {
  /** The next bytes of a message, valid during the call; `last` with the message's last, which may be none. */
  onData(bytes: Uint8Array, last: boolean): void;
  /** `payload` is valid during the call. */
  onPing(payload: Uint8Array): void;
  onPong(): void;
  /** Nothing is read after it. */
  onClose(code: number, reason: string): void;
}

export interface WebSocketReceiverOptions {
  /** True at a server: frames that come must be masked. False at a client: they must not be. */
  masked: boolean;
  /** Most bytes of a message. */
  maxMessageBytes: number;
  events: WebSocketEvents;
}

/** See the file's head. */
export class WebSocketReceiver {
  readonly #masked: boolean;
  readonly #maxMessageBytes: number;
  readonly #events: WebSocketEvents;
  #stopped = false;

  readonly #header = new Uint8Array(MAX_FRAME_HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerBytes = 0;
  /** The frame whose payload is coming, or null between frames. */
  #frame: FrameHeader | null = null;
  #toCome = 0;
  /** Position in the frame's payload modulo 4, for the mask. */
  #maskAt = 0;
  #unmasking = false;
  /** A control frame's payload. */
  readonly #control = new Uint8Array(MAX_CONTROL_BYTES);

  /** The message under way: its frames and bytes, declared ones included. No frames: there is none. */
  #messageFrames = 0;
  #messageBytes = 0;

  constructor({ masked, maxMessageBytes, events }: WebSocketReceiverOptions) {
    this.#masked = masked;
    this.#maxMessageBytes = maxMessageBytes;
    this.#events = events;
  }

  /** Ignores whatever else comes. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Takes the next bytes of the connection. It takes the mask off in place, so masked bytes change.
   * @throws WebSocketViolation once; the receiver has stopped then.
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    // A frame may be a header alone: the next header then follows at once.
    while (at < chunk.byteLength && !this.#stopped) {
      at = this.#frame ? this.#payload(this.#frame, chunk, at) : this.#headerPart(chunk, at);
    }
  }

  /** Bytes still to come of the data frame under way; 0 if there is none. */
  get dataToCome(): number {
    return this.#frame && this.#frame.opcode < Opcode.CLOSE ? this.#toCome : 0;
  }

  #headerPart(chunk: Uint8Array, start: number): number {
    const header = this.#header;
    let at = start;
    while (at < chunk.byteLength) {
      header[this.#headerBytes++] = chunk[at++]!;
      if (this.#headerBytes < 2 || this.#headerBytes < headerBytesOf(this.#headerView.getUint8(1))) continue;
      this.#headerBytes = 0;
      this.#begin(readFrameHeader(this.#headerView));
      break;
    }
    return at;
  }

  #begin(frame: FrameHeader): void {
    this.#check(frame);
    const { maskAt, masked, payloadBytes } = frame;
    this.#unmasking = masked && this.#headerView.getUint32(maskAt) !== 0;
    this.#maskAt = 0;
    this.#toCome = payloadBytes;
    this.#frame = frame;
    if (payloadBytes === 0) this.#ended(frame, NOTHING);
  }

  #check({ fin, reserved, opcode, masked, payloadBytes, overlong }: FrameHeader): void {
    const { PROTOCOL_ERROR, UNSUPPORTED_DATA, TOO_BIG } = CloseCode;
    if (reserved) throw this.#violation(PROTOCOL_ERROR, "reserved bits are set");
    if (masked !== this.#masked) {
      throw this.#violation(PROTOCOL_ERROR, masked ? "a server's frame is masked" : "a client's frame is not masked");
    }
    if (overlong) throw this.#violation(PROTOCOL_ERROR, "a length is not written the shortest way");
    if (opcode >= Opcode.CLOSE) {
      if (opcode > Opcode.PONG) throw this.#violation(PROTOCOL_ERROR, `opcode ${opcode} is reserved`);
      if (!fin) throw this.#violation(PROTOCOL_ERROR, "a control frame is fragmented");
      if (payloadBytes > MAX_CONTROL_BYTES) throw this.#violation(PROTOCOL_ERROR, "a control frame is too long");
      return;
    }
    if (opcode === Opcode.TEXT) throw this.#violation(UNSUPPORTED_DATA, "binary messages only");
    if (opcode > Opcode.BINARY) throw this.#violation(PROTOCOL_ERROR, `opcode ${opcode} is reserved`);
    if ((opcode === Opcode.CONTINUATION) !== this.#messageFrames > 0) {
      throw this.#violation(PROTOCOL_ERROR, "a message begins in another, or goes on that did not begin");
    }
    this.#messageFrames += 1;
    this.#messageBytes += payloadBytes;
    if (this.#messageBytes > this.#maxMessageBytes) throw this.#violation(TOO_BIG, "message too large");
    if (this.#messageFrames > MAX_MESSAGE_FRAMES) throw this.#violation(TOO_BIG, "too many fragments");
  }

  #payload(frame: FrameHeader, chunk: Uint8Array, start: number): number {
    const end = Math.min(chunk.byteLength, start + this.#toCome);
    const bytes = start === 0 && end === chunk.byteLength ? chunk : chunk.subarray(start, end);
    if (this.#unmasking) this.#maskAt = unmask(bytes, this.#header, frame.maskAt, this.#maskAt);
    this.#toCome -= bytes.byteLength;
    if (frame.opcode >= Opcode.CLOSE) {
      this.#control.set(bytes, frame.payloadBytes - this.#toCome - bytes.byteLength);
      if (this.#toCome === 0) this.#ended(frame, this.#control.subarray(0, frame.payloadBytes));
    } else if (this.#toCome === 0) this.#ended(frame, bytes);
    else this.#events.onData(bytes, false);
    return end;
  }

  /** The frame is complete. `bytes` are the last of a data frame, or all of a control frame. */
  #ended({ fin, opcode }: FrameHeader, bytes: Uint8Array): void {
    this.#frame = null;
    switch (opcode) {
      case Opcode.PING:
        this.#events.onPing(bytes);
        break;
      case Opcode.PONG:
        // This side's pings are empty. Another frame whose opcode changed on the way must not pass for an answer to one.
        if (bytes.byteLength > 0)
          throw this.#violation(CloseCode.PROTOCOL_ERROR, "a pong answers no ping of this side");
        this.#events.onPong();
        break;
      case Opcode.CLOSE: {
        const said = readClosePayload(bytes);
        if (!said) throw this.#violation(CloseCode.PROTOCOL_ERROR, "a close frame is malformed");
        this.#stopped = true;
        this.#events.onClose(said.code, said.reason);
        break;
      }
      default:
        if (fin) this.#messageFrames = this.#messageBytes = 0;
        if (fin || bytes.byteLength > 0) this.#events.onData(bytes, fin);
    }
  }

  #violation(code: number, message: string): WebSocketViolation {
    this.#stopped = true;
    return new WebSocketViolation(code, message);
  }
}

const NOTHING = new Uint8Array(0);

/** Takes the mask at `header[maskAt]` off, from its byte `phase` on; returns the phase of the byte that follows. */
function unmask(bytes: Uint8Array, header: Uint8Array, maskAt: number, phase: number): number {
  const length = bytes.byteLength;
  for (let i = 0; i < length; i++) bytes[i] = bytes[i]! ^ header[maskAt + ((phase + i) & 3)]!;
  return (phase + length) & 3;
}
