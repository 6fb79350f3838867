/**
 * Time slice: the time that one connection has of a server's thread before the others are served. Node reads up to two mebibytes of a
 * connection that never stops sending before it looks at the next one, and those may be tens of thousands of messages.
 */

/** The length of a slice, in milliseconds. The message that is being served when it is over is served to its end. */
const SLICE_MS = 0.5;

/** See the file's head. */
export class TimeSlice {
  readonly #reading: { pause(): unknown; resume(): unknown };
  #began = 0;
  #usedMs = 0;
  #isOver = false;
  #isCounted = false;

  /** `reading`: how the connection is read no more, and again. */
  constructor(reading: { pause(): unknown; resume(): unknown }) {
    this.#reading = reading;
  }

  /** Has it had its time? It goes on when the others have been served. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Has it had its time by now? For whoever serves many short things between {@link begin} and {@link end}. */
  get isSpent(): boolean {
    return this.#usedMs + performance.now() - this.#began >= SLICE_MS;
  }

  /** Bytes of the connection are served from now on. */
  begin(): void {
    this.#began = performance.now();
  }

  /** They have been. */
  end(): void {
    this.#usedMs += performance.now() - this.#began;
    if (!this.#isCounted) {
      this.#isCounted = true;
      setImmediate(() => this.#next());
    }
    if (this.#usedMs < SLICE_MS || this.#isOver) return;
    this.#isOver = true;
    this.#reading.pause();
  }

  /** All connections that had something have been served. */
  #next(): void {
    this.#isCounted = false;
    this.#usedMs = 0;
    if (!this.#isOver) return;
    this.#isOver = false;
    this.#reading.resume();
  }
}
