/**
 * A file link: one rank's end of it. Frames go through the rings. A direct link stays underneath, which wakes a peer
 * that sleeps and tells when the peer is gone.
 */
import { ProtocolError } from "../../errors.ts";
import type { MemoryFile } from "../../platform.ts";
import { decodeHeader, encodeHeader, FrameKind } from "../../wire/frame.ts";
import type { Link, LinkReceiver } from "../link.ts";
import { FLAGS_BYTES, Flag } from "./layout.ts";
import { RingReader, type RingSpan, RingWriter } from "./ring-buffer.ts";

/** A payload of this length ends a turn, so that its receiver can use it while it is in the cache. */
const LONG_BYTES = 32 * 1024;

/**
 * The frame that tells a peer to look into the file: into its ring there or, if there is a group, at the flags of the
 * group's ranks. `rank` sends it.
 */
function wakeFrame(rank: number, group: number): Uint8Array {
  const none = { flags: 0, epoch: 0, slot: 0, sequence: 0, payloadBytes: 0, request: 0 };
  return encodeHeader({ ...none, kind: FrameKind.WAKE, peer: rank, group }, null);
}

/** One side's control block and ring for the other. */
export interface Half {
  readonly file: MemoryFile;
  readonly controlAt: number;
  readonly ring: RingSpan;
}

/** FileLinks gives a link these when it makes it. */
export interface FileLinkParts {
  /** In memory that is mapped a link differs by its name alone. */
  kind: "shared-file" | "mapped-memory";
  /** This rank. */
  rank: number;
  /** In this rank's file, for the peer. */
  own: Half;
  /** In the peer's file, for this rank. */
  theirs: Half;
  underneath: Link;
  /** There is work: `attend` is to be called until it returns false. */
  onWork(): void;
  /** A rank of `group` has found that all have come to a step. */
  onWake(group: number): void;
  /** The link is over, for this rank too. */
  onEnd(): void;
  /** Called with the error when the receiver or the peer broke the protocol; the link then closes. */
  onError(error: unknown): void;
}

/** One rank's end of a link to another process of its host. */
export class FileLink implements Link {
  readonly kind: FileLinkParts["kind"];
  readonly #parts: FileLinkParts;
  readonly #writer: RingWriter;
  readonly #reader: RingReader;
  #receiver: LinkReceiver | null = null;
  /** The peer's flags as they were last seen. */
  readonly #flags = new Uint8Array(FLAGS_BYTES);
  readonly #view = new DataView(this.#flags.buffer);
  readonly #flag = new Float64Array(1);
  readonly #flagBytes = new Uint8Array(this.#flag.buffer);
  #publishedRead = 0;
  /** Has the peer something new to see since its flags were read? */
  #unseen = { data: false, room: false };
  /** The sleep from which the peer was last woken. */
  #wokenSleep = 0;
  #closing = false;
  /** The link underneath has closed: nothing more comes. */
  #ended = false;

  constructor(parts: FileLinkParts) {
    this.kind = parts.kind;
    this.#parts = parts;
    this.#writer = new RingWriter(parts.own.ring);
    this.#reader = new RingReader(parts.theirs.ring);
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    if (this.#closing || this.#ended) {
      onSent?.();
      return;
    }
    this.#writer.push(header, payload, onSent);
    try {
      this.#write();
      this.#parts.onWork();
    } catch (error) {
      // The peer's flags are at fault, and not the sender.
      this.#fail(error);
    }
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#parts.underneath.start({
      onFrame: (header) => {
        const { kind, group } = decodeHeader(header);
        if (kind !== FrameKind.WAKE) throw new ProtocolError(`a frame of kind ${kind} beside the shared file`);
        if (group === 0) this.#parts.onWork();
        else this.#parts.onWake(group);
      },
      onDamaged: (seen) => receiver.onDamaged(seen),
      onClose: () => this.#onPeerGone(),
    });
    this.#parts.onWork();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#receiver) this.#parts.onWork();
    else this.#end();
    this.#closeIfDone();
  }

  /** Receives the records that have come, and writes those that have room now. Did anything move? */
  attend(): boolean {
    if (!this.#receiver || this.#ended) return false;
    try {
      return this.#turn(this.#receiver);
    } catch (error) {
      this.#fail(error);
      return true;
    }
  }

  /** Wakes the peer where it waits for the ranks of `group`. */
  wake(group: number): void {
    if (!this.#closing && !this.#ended) this.#parts.underneath.send(wakeFrame(this.#parts.rank, group), null);
  }

  /** Says that this rank sleeps now, for the `sleep`th time, or with 0 that it is awake. */
  announce(sleep: number): void {
    if (this.#ended) return;
    if (sleep > 0) this.#publishRead();
    this.#publish(Flag.ASLEEP, sleep === 0 ? 0 : 2 * sleep + (this.#writer.idle ? 0 : 1));
  }

  #turn(receiver: LinkReceiver): boolean {
    this.#readFlags();
    this.#wake();
    const moved = this.#receive(receiver);
    this.#write();
    this.#closeIfDone();
    // The peer may be asleep when this rank tells it of something: that shows at the next turn.
    return moved || this.#unseen.data || this.#unseen.room;
  }

  #readFlags(): void {
    const { file, controlAt } = this.#parts.theirs;
    file.read(this.#flags, controlAt);
  }

  /** Wakes the peer if it sleeps and has not seen the bytes, or the room, that are there for it. */
  #wake(): void {
    const asleep = this.#view.getFloat64(Flag.ASLEEP, true);
    const { data, room } = this.#unseen;
    this.#unseen.data = false;
    this.#unseen.room = false;
    if (asleep === 0 || asleep === this.#wokenSleep || !(data || (room && asleep % 2 === 1))) return;
    this.#wokenSleep = asleep;
    this.#parts.underneath.send(wakeFrame(this.#parts.rank, 0), null);
  }

  #receive(receiver: LinkReceiver): boolean {
    const written = this.#view.getFloat64(Flag.WRITTEN, true);
    let moved = false;
    let goOn = true;
    const onFrame: LinkReceiver["onFrame"] = (header, payload) => {
      goOn = payload.byteLength < LONG_BYTES;
      receiver.onFrame(header, payload);
    };
    while (goOn && !this.#ended && this.#reader.next(written, onFrame)) moved = true;
    if (goOn) {
      // A record that is not whole yet may need all the room there can be.
      this.#reader.makeRoom(written);
      if (this.#reader.done < written) this.#publishRead();
    }
    if (this.#reader.done - this.#publishedRead >= this.#parts.theirs.ring.ringBytes / 4) this.#publishRead();
    return moved;
  }

  #write(): void {
    if (!this.#writer.write(this.#view.getFloat64(Flag.READ, true))) return;
    this.#publish(Flag.WRITTEN, this.#writer.written);
    this.#unseen.data = true;
  }

  #publishRead(): void {
    const { done } = this.#reader;
    if (done === this.#publishedRead) return;
    this.#publishedRead = done;
    this.#publish(Flag.READ, done);
    this.#unseen.room = true;
  }

  #publish(flag: number, value: number): void {
    this.#flag[0] = value;
    this.#parts.own.file.write(this.#flagBytes, this.#parts.own.controlAt + flag);
  }

  #closeIfDone(): void {
    if (this.#closing && this.#writer.idle) this.#parts.underneath.close();
  }

  /** The link underneath has closed. What the peer had written by then still counts, and what it goes on to write does not. */
  #onPeerGone(): void {
    const receiver = this.#receiver;
    try {
      this.#readFlags();
      // Each turn may leave something for the next.
      while (receiver && !this.#closing && !this.#ended && this.#receive(receiver));
    } catch (error) {
      this.#fail(error);
    }
    this.#end();
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#parts.onError(error);
    this.#parts.underneath.close();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#writer.giveUp();
    this.#reader.makeRoom(Number.POSITIVE_INFINITY);
    this.#receiver?.onClose();
    this.#parts.onEnd();
  }
}
