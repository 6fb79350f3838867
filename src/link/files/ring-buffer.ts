/**
 * The two ends of a ring in a memory file: a stream of records, written by one process and read by the other.
 *
 * Bytes go from where the sender has them into the ring and from there to where the receiver wants them: one write and
 * one read for each. A payload that nobody has asked for yet stays in the ring while there is room, and is taken out
 * when there is none.
 */
import { ProtocolError } from "../../errors.ts";
import type { MemoryFile } from "../../platform.ts";
import type { Payload } from "../link.ts";
import { FragmentsPayload } from "../payload/fragments.ts";
import { LINE_BYTES, RECORD_HEAD_BYTES } from "./layout.ts";

/** Payloads up to this length are written, and read, together with their heads. */
const SHORT_BYTES = 4096;
/** Longest head of a record: a frame's header, with its fingerprint. */
const HEAD_BYTES = 2 * LINE_BYTES;

/** Where a ring lies in a file. */
export interface RingSpan {
  readonly file: MemoryFile;
  readonly at: number;
  readonly ringBytes: number;
}

interface Outgoing {
  readonly header: Uint8Array;
  readonly payload: Uint8Array | null;
  readonly onSent: (() => void) | undefined;
}

/** The writing end. */
export class RingWriter {
  /** Bytes of the stream that are in the ring, or have been. */
  written = 0;
  readonly #span: RingSpan;
  readonly #waiting: Outgoing[] = [];
  /** Bytes of the first waiting record's payload that are in the ring already; -1 while its head is not. */
  #progress = -1;
  readonly #short = new Uint8Array(HEAD_BYTES + SHORT_BYTES);
  readonly #view = new DataView(this.#short.buffer);

  constructor(span: RingSpan) {
    this.#span = span;
  }

  /** Is there nothing that waits for room? */
  get idle(): boolean {
    return this.#waiting.length === 0;
  }

  push(header: Uint8Array, payload: Uint8Array | null, onSent: (() => void) | undefined): void {
    this.#waiting.push({ header, payload, onSent });
  }

  /**
   * Writes the records that wait, as far as there is room when the other side has read `read` bytes. Did it write
   * anything?
   * @throws ProtocolError if the other side cannot have read so many.
   */
  write(read: number): boolean {
    const before = this.written;
    const unread = before - read;
    if (!(unread >= 0 && unread <= this.#span.ringBytes)) {
      throw new ProtocolError(`${unread} bytes of a ring of ${this.#span.ringBytes} are said to be unread`);
    }
    for (let first = this.#waiting[0]; first && this.#put(first, read); first = this.#waiting[0]) {
      this.#progress = -1;
      this.#waiting.shift();
      first.onSent?.();
    }
    return this.written !== before;
  }

  /** The other side is gone: nothing is read any more. */
  giveUp(): void {
    for (const { onSent } of this.#waiting.splice(0)) onSent?.();
  }

  /** Writes one record, or goes on with it; true if it is in the ring whole. */
  #put({ header, payload }: Outgoing, read: number): boolean {
    const headBytes = padded(RECORD_HEAD_BYTES + header.byteLength);
    const payloadBytes = payload?.byteLength ?? 0;
    // Below 0 where the other side has told of a part of a line.
    const room = () => Math.max(0, this.#span.ringBytes - (this.written - read));
    if (this.#progress < 0) {
      const isShort = payloadBytes <= SHORT_BYTES;
      const firstBytes = headBytes + (isShort ? padded(payloadBytes) : 0);
      if (room() < firstBytes) return false;
      this.#view.setUint32(0, header.byteLength, true);
      this.#view.setUint32(4, payloadBytes, true);
      this.#short.set(header, RECORD_HEAD_BYTES);
      if (isShort && payload) this.#short.set(payload, headBytes);
      this.#copy(this.#short.subarray(0, firstBytes), this.written);
      this.written += firstBytes;
      this.#progress = isShort ? payloadBytes : 0;
    }
    // A payload that is longer than the ring goes through it in parts.
    while (payload && this.#progress < payloadBytes) {
      const part = payload.subarray(this.#progress, this.#progress + room());
      if (part.byteLength === 0) return false;
      this.#copy(part, this.written);
      this.#progress += part.byteLength;
      // Only the last part may have a length that is no multiple of a line.
      this.written += padded(part.byteLength);
    }
    return true;
  }

  #copy(bytes: Uint8Array, position: number): void {
    const { file, at, ringBytes } = this.#span;
    const start = position % ringBytes;
    const straight = Math.min(bytes.byteLength, ringBytes - start);
    file.write(straight === bytes.byteLength ? bytes : bytes.subarray(0, straight), at + start);
    if (straight < bytes.byteLength) file.write(bytes.subarray(straight), at);
  }
}

/** A record longer than half of the ring, as far as it has come. */
interface LongRecord {
  readonly header: Uint8Array;
  missing: number;
  readonly parts: Uint8Array[];
}

/** The reading end. */
export class RingReader {
  /** Bytes of the stream that have been handed over. */
  #read = 0;
  readonly #span: RingSpan;
  /** Payloads that stay in the ring until they are wanted, oldest first. */
  readonly #kept = new Set<RingPayload>();
  /** Bytes that were read ahead: those of the stream from `#stagedAt` to `#stagedEnd`. */
  readonly #stage = new Uint8Array(2 * SHORT_BYTES);
  readonly #view = new DataView(this.#stage.buffer);
  #stagedAt = 0;
  #stagedEnd = 0;
  #long: LongRecord | null = null;

  constructor(span: RingSpan) {
    this.#span = span;
  }

  /** Bytes of the stream that the writer may overwrite. */
  get done(): number {
    for (const { start } of this.#kept) return start;
    return this.#read;
  }

  /**
   * Hands over the next record of those that end within the stream's first `written` bytes; false if there is none.
   * Its payload is valid during the call, or as long as it is kept.
   */
  next(written: number, onFrame: (header: Uint8Array, payload: Payload) => void): boolean {
    const position = this.#read;
    const available = written - position;
    if (!(available >= 0 && available <= this.#span.ringBytes)) {
      throw new ProtocolError(`${available} bytes are said to lie in a ring of ${this.#span.ringBytes}`);
    }
    if (this.#long) return this.#continue(this.#long, written, onFrame);
    if (available === 0) return false;
    // Where much has come, most of it is one long payload, which is read straight to where it belongs.
    if (position < this.#stagedAt || position + Math.min(available, HEAD_BYTES) > this.#stagedEnd) {
      this.#fill(position, available > this.#stage.byteLength ? HEAD_BYTES : available);
    }
    const offset = position - this.#stagedAt;
    const headerBytes = this.#view.getUint32(offset, true);
    const payloadBytes = this.#view.getUint32(offset + 4, true);
    if (headerBytes > HEAD_BYTES - RECORD_HEAD_BYTES) {
      throw new ProtocolError(`a record in a shared file has a header of ${headerBytes} bytes`);
    }
    const payloadAt = position + padded(RECORD_HEAD_BYTES + headerBytes);
    const end = payloadAt + padded(payloadBytes);
    const header = this.#stage.subarray(offset + RECORD_HEAD_BYTES, offset + RECORD_HEAD_BYTES + headerBytes);
    if (end - position > this.#span.ringBytes / 2) {
      this.#read = payloadAt;
      this.#long = { header: header.slice(), missing: payloadBytes, parts: [] };
      return this.#continue(this.#long, written, onFrame);
    }
    if (end > written) return false;
    // A short payload is in the stage. If it is not whole there, all that has come is short: the stage is filled from
    // this record on.
    if (payloadBytes <= SHORT_BYTES && payloadAt + payloadBytes > this.#stagedEnd) {
      this.#fill(position, Math.min(written - position, this.#stage.byteLength));
      return this.next(written, onFrame);
    }
    const staged = payloadAt + payloadBytes <= this.#stagedEnd;
    const bytes = staged
      ? this.#stage.subarray(payloadAt - this.#stagedAt, payloadAt - this.#stagedAt + payloadBytes)
      : null;
    const payload = new RingPayload(this, position, payloadAt, payloadBytes, bytes);
    onFrame(header, payload);
    this.#read = end;
    return true;
  }

  /** Takes kept payloads out of the ring until no more than half of it is full, if the stream has `written` bytes. */
  makeRoom(written: number): void {
    for (const payload of this.#kept) {
      if (written - payload.start <= this.#span.ringBytes / 2) return;
      payload.takeOut();
    }
  }

  /** For payloads: fills `target` from the stream's `position` on. */
  copy(position: number, target: Uint8Array): void {
    const { file, at, ringBytes } = this.#span;
    const start = position % ringBytes;
    const straight = Math.min(target.byteLength, ringBytes - start);
    file.read(straight === target.byteLength ? target : target.subarray(0, straight), at + start);
    if (straight < target.byteLength) file.read(target.subarray(straight), at);
  }

  /** For payloads: this one stays in the ring, or no longer does. */
  keep(payload: RingPayload, kept: boolean): void {
    if (kept) this.#kept.add(payload);
    else this.#kept.delete(payload);
  }

  #fill(position: number, byteLength: number): void {
    this.#stagedAt = position;
    this.#stagedEnd = position + byteLength;
    this.copy(position, this.#stage.subarray(0, byteLength));
  }

  /** Takes more of a long record out of the ring. */
  #continue(long: LongRecord, written: number, onFrame: (header: Uint8Array, payload: Payload) => void): boolean {
    const part = new Uint8Array(Math.max(0, Math.min(long.missing, written - this.#read)));
    if (part.byteLength > 0) {
      this.copy(this.#read, part);
      long.parts.push(part);
      long.missing -= part.byteLength;
      this.#read += padded(part.byteLength);
    }
    if (long.missing > 0) return false;
    this.#long = null;
    onFrame(long.header, new FragmentsPayload(long.parts));
    return true;
  }
}

/** A payload in the ring. */
class RingPayload implements Payload {
  readonly byteLength: number;
  /** Where its record begins. */
  readonly start: number;
  readonly #reader: RingReader;
  readonly #position: number;
  /** The bytes themselves, where they have been read already. */
  #bytes: Uint8Array | null;

  constructor(reader: RingReader, start: number, position: number, byteLength: number, bytes: Uint8Array | null) {
    this.#reader = reader;
    this.start = start;
    this.#position = position;
    this.byteLength = byteLength;
    this.#bytes = bytes;
  }

  copyTo(target: Uint8Array): void {
    if (this.#bytes) target.set(this.#bytes);
    else
      this.#reader.copy(
        this.#position,
        target.byteLength > this.byteLength ? target.subarray(0, this.byteLength) : target,
      );
    this.#reader.keep(this, false);
  }

  keep(): Payload {
    if (this.#bytes) this.#bytes = this.#bytes.slice();
    else this.#reader.keep(this, true);
    return this;
  }

  takeOut(): void {
    const bytes = new Uint8Array(this.byteLength);
    this.#reader.copy(this.#position, bytes);
    this.#bytes = bytes;
    this.#reader.keep(this, false);
  }
}

function padded(byteLength: number): number {
  return Math.ceil(byteLength / LINE_BYTES) * LINE_BYTES;
}
