/**
 * Connection: one end of a simulated TCP connection, as a stream of Node's, so that the WebSocket of Node runs over it. What
 * one end writes goes through a pipe: a window bounds the bytes that the other end has not read, and the link between the two
 * processes has a delay, a rate and faults.
 */
import { Duplex } from "node:stream";
import type { SimulatedProcess } from "../simulated-process.ts";
import { textOfBytes } from "../trace.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import type { Wire } from "./wire.ts";

/** Bytes that may be under way, or wait unread at the other end. */
const WINDOW_BYTES = 128 * 1024;
/** Most bytes that arrive at a time. */
const PIECE_BYTES = 32 * 1024;

/** Bytes that wait for room in the window. */
interface Waiting {
  readonly bytes: Uint8Array;
  at: number;
  /** All of them are under way. */
  sent(): void;
}

/** The way of the bytes from one end to the other. */
class Pipe {
  readonly #clock: VirtualClock;
  readonly #wire: Wire;
  readonly #from: SimulatedConnection;
  readonly #to: SimulatedConnection;
  readonly #waiting: Waiting[] = [];
  #underWay = 0;
  #departed = 0;
  #arrived = 0;
  #isOver = false;
  /** The other end's pipe, once it is gone. */
  #refusedBy: Pipe | null = null;
  #wakes = false;

  constructor(clock: VirtualClock, wire: Wire, from: SimulatedConnection, to: SimulatedConnection) {
    this.#clock = clock;
    this.#wire = wire;
    this.#from = from;
    this.#to = to;
  }

  write(bytes: Uint8Array, sent: () => void): void {
    this.#waiting.push({ bytes, at: 0, sent });
    if (this.#refusedBy) this.#answerWithReset();
    else this.#pump();
  }

  /** This end is closed: bytes that wait are not sent any more. */
  drop(): void {
    this.finish();
    for (const { sent } of this.#waiting.splice(0)) sent();
  }

  /** Nothing follows. */
  finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#post(0, "end", "", () => this.#to.endReading());
  }

  /** The other end is gone: its system answers whatever comes from here, or has come and was not read, with a reset. */
  refuse(back: Pipe): void {
    this.#refusedBy = back;
    if (this.#underWay > 0 || this.#waiting.length > 0) this.#answerWithReset();
  }

  /** The connection ends at once at the other end. */
  reset(): void {
    this.#isOver = true;
    this.#post(0, "reset", "", () => this.#to.fail());
  }

  #pump(): void {
    if (this.#isOver) return;
    for (let next = this.#waiting[0]; next && this.#underWay < WINDOW_BYTES; next = this.#waiting[0]) {
      const { bytes, at } = next;
      const piece = this.#wire.cut(bytes.subarray(at, at + PIECE_BYTES));
      next.at += piece.byteLength;
      this.#underWay += piece.byteLength;
      this.#post(piece.byteLength, "data", `from ${this.#from.owner.name} ${textOfBytes(piece)}`, () => {
        this.#to.receive(piece, () => this.#consumed(piece.byteLength));
      });
      if (next.at < bytes.byteLength) continue;
      this.#waiting.shift();
      next.sent();
    }
  }

  #answerWithReset(): void {
    const { isLost, latencyMs } = this.#wire;
    if (isLost) return;
    // Behind what the other end had sent.
    const back = this.#refusedBy;
    const time = Math.max(this.#clock.time + 2 * latencyMs, back === null ? 0 : back.#arrived);
    this.#clock.schedule(this.#from.owner, time, "reset", "", () => this.#from.fail());
  }

  #consumed(byteLength: number): void {
    this.#underWay -= byteLength;
    if (this.#waiting.length === 0 || this.#wakes) return;
    this.#wakes = true;
    this.#clock.schedule(this.#from.owner, this.#clock.time + this.#wire.latencyMs, "window", "", () => {
      this.#wakes = false;
      this.#pump();
    });
  }

  /** Something travels; what is sent later comes later. */
  #post(byteLength: number, kind: string, detail: string, arrive: () => void): void {
    const wire = this.#wire;
    const { time } = this.#clock;
    this.#departed = Math.max(this.#departed, time) + byteLength / wire.bytesPerMs;
    this.#arrived = Math.max(this.#arrived, this.#departed + wire.delayMs());
    const come = () => {
      if (wire.isLost) return;
      if (wire.stalledUntil > this.#clock.time) this.#comeLater(wire.stalledUntil, kind, detail, come);
      else arrive();
    };
    this.#comeLater(this.#arrived, kind, detail, come);
  }

  #comeLater(time: number, kind: string, detail: string, come: () => void): void {
    this.#clock.schedule(this.#to.owner, time, kind, detail, come);
  }
}

/** See the file's head. */
export class SimulatedConnection extends Duplex {
  readonly owner: SimulatedProcess;
  /** The process at the other end. */
  readonly other: SimulatedProcess;
  #out: Pipe | null = null;
  #in: Pipe | null = null;
  readonly #inbox: { bytes: Uint8Array; consumed(): void }[] = [];
  #wants = false;
  #isEnded = false;

  private constructor(owner: SimulatedProcess, other: SimulatedProcess) {
    super();
    this.owner = owner;
    this.other = other;
  }

  /** The two ends of a new connection. */
  static pair(
    clock: VirtualClock,
    there: Wire,
    back: Wire,
  ): [client: SimulatedConnection, server: SimulatedConnection] {
    const client = new SimulatedConnection(there.from, there.to);
    const server = new SimulatedConnection(there.to, there.from);
    client.#out = server.#in = new Pipe(clock, there, client, server);
    server.#out = client.#in = new Pipe(clock, back, server, client);
    return [client, server];
  }

  /** Bytes have come. */
  receive(bytes: Uint8Array, consumed: () => void): void {
    if (this.destroyed) {
      this.#out?.reset();
      return;
    }
    this.#inbox.push({ bytes, consumed });
    this.#readOn();
  }

  /** The other end writes no more. */
  endReading(): void {
    this.#isEnded = true;
    this.#readOn();
  }

  /** The connection is no more. One whose owner has not got it yet ends quietly. */
  fail(): void {
    this.destroy(this.listenerCount("error") > 0 ? new Error("read ECONNRESET") : undefined);
  }

  /** The process is gone, and its system closes the connection. */
  abandon(): void {
    this.#out?.finish();
    if (this.#out) this.#in?.refuse(this.#out);
  }

  /** Bytes that have come and were not read, and those that wait to be sent. */
  get heldBytes(): number {
    const unread = this.#inbox.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    return this.writableLength + this.readableLength + unread;
  }

  unref(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  override _read(): void {
    this.#wants = true;
    this.#readOn();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    this.#out?.write(bytes, done);
  }

  override _final(done: () => void): void {
    this.#out?.finish();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#out?.drop();
    done(error);
  }

  #readOn(): void {
    while (this.#wants) {
      const next = this.#inbox.shift();
      if (!next) break;
      this.#wants = this.push(next.bytes);
      next.consumed();
    }
    if (!this.#isEnded || this.#inbox.length > 0 || this.destroyed) return;
    this.#isEnded = false;
    this.push(null);
  }
}
