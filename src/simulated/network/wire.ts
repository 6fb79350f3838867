/** Wire: one direction between two processes: its delay, its rate, and the faults that it has. */
import type { SeededRandom } from "../../support/seeded-random.ts";
import type { SimulatedProcess } from "../simulated-process.ts";

/** See the file's head. */
export class Wire {
  readonly from: SimulatedProcess;
  readonly to: SimulatedProcess;
  latencyMs: number;
  bytesPerMs = Number.POSITIVE_INFINITY;
  /** Since then whatever comes is lost, and nobody is told. */
  lostAt = Number.POSITIVE_INFINITY;
  /** Until then whatever comes waits. */
  stalledUntil = 0;
  /** One bit of these bytes, counted from the first that was sent, changes on the way. */
  readonly flips = new Set<number>();
  /** Bytes that have changed. */
  flipped = 0;
  #sent = 0;
  readonly #random: SeededRandom;

  constructor(from: SimulatedProcess, to: SimulatedProcess, latencyMs: number, random: SeededRandom) {
    this.from = from;
    this.to = to;
    this.latencyMs = latencyMs;
    this.#random = random;
  }

  get isLost(): boolean {
    return this.lostAt < Number.POSITIVE_INFINITY;
  }

  /** How long the next piece is under way: the latency, and up to half as much. */
  delayMs(): number {
    return this.latencyMs * (1 + this.#random.below(1_000) / 2_000);
  }

  /** A copy of the first part of `bytes`, as it arrives. Most are whole. */
  cut(bytes: Uint8Array): Uint8Array {
    const isCut = bytes.byteLength > 1 && this.#random.below(16) === 0;
    const end = isCut ? 1 + this.#random.below(bytes.byteLength - 1) : bytes.byteLength;
    // A Buffer's slice would be no copy.
    const piece = new Uint8Array(bytes.subarray(0, end));
    for (const flip of this.flips) {
      const at = flip - this.#sent;
      if (at < 0 || at >= piece.byteLength) continue;
      piece[at]! ^= 1 << (flip % 8);
      this.flipped++;
    }
    this.#sent += piece.byteLength;
    return piece;
  }
}
