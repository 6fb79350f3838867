/**
 * Fold: one slot of a collective at the hub. Every rank of the group comes once, with or without a part; the parts are
 * folded in the order of ranks as soon as all lower ranks have come, ((x0 op x1) op x2) …, so the bits are those of any
 * other algorithm that keeps rank order. A part that stays the only one is passed on as it came, without a copy.
 */
import type { Executor, Span } from "../executor/executor.ts";
import type { Payload } from "../link/link.ts";
import type { ReduceOp } from "../reduce-op.ts";
import { bytesPerElement, type DataType } from "../types.ts";

/** The operation on two parts that meet. */
export interface FoldRule {
  readonly dtype: DataType;
  readonly op: ReduceOp;
}

/** One slot. */
export class Fold<P extends Payload> {
  readonly #executor: Executor;
  readonly #rule: FoldRule | null;
  readonly #size: number;
  /** The parts that have come and are not folded in, by rank of the group; null for none. */
  readonly #parts = new Map<number, P | null>();
  /** The first rank that is not folded in yet. */
  #next = 0;
  #first: P | null = null;
  #sum: Span | null = null;
  #byteLength = -1;

  /** Without a `rule` there may be one part only. */
  constructor(executor: Executor, rule: FoldRule | null, size: number) {
    this.#executor = executor;
    this.#rule = rule;
    this.#size = size;
  }

  /** Have all ranks come? */
  get isComplete(): boolean {
    return this.#next === this.#size;
  }

  has(rank: number): boolean {
    return rank < this.#next || this.#parts.has(rank);
  }

  /**
   * `rank` has come, which it does once.
   * @returns false if its part does not fit the others: another length, or a second one where nothing is folded.
   */
  add(rank: number, part: P | null): boolean {
    if (part && !this.#fits(part.byteLength)) return false;
    this.#parts.set(rank, part);
    for (; this.#parts.has(this.#next); this.#next++) {
      const next = this.#parts.get(this.#next);
      this.#parts.delete(this.#next);
      if (next) this.#foldIn(next);
    }
    return true;
  }

  /** The result, once it is complete: the only part, or the fold in one piece, or null if nobody had a part. */
  result(): { only: P } | { folded: Uint8Array } | null {
    if (this.#sum) return { folded: this.#executor.receive(this.#sum).bytes };
    return this.#first ? { only: this.#first } : null;
  }

  /** Gives its memory back. */
  dispose(): void {
    if (this.#sum) this.#executor.release(this.#sum);
    this.#sum = null;
  }

  #fits(byteLength: number): boolean {
    if (this.#byteLength >= 0) return this.#rule !== null && byteLength === this.#byteLength;
    this.#byteLength = byteLength;
    return this.#rule === null || byteLength % bytesPerElement(this.#rule.dtype) === 0;
  }

  #foldIn(part: P): void {
    if (!this.#first || !this.#rule) {
      this.#first = part;
      return;
    }
    const { dtype, op } = this.#rule;
    const count = part.byteLength / bytesPerElement(dtype);
    if (!this.#sum) {
      this.#sum = this.#executor.scratch(dtype, count);
      this.#load(this.#sum, this.#first);
    }
    const incoming = this.#executor.scratch(dtype, count);
    this.#load(incoming, part);
    this.#executor.reduce(op, this.#sum, this.#sum, incoming);
    this.#executor.release(incoming);
  }

  #load(span: Span, part: P): void {
    const lease = this.#executor.receive(span);
    part.copyTo(lease.bytes);
    void this.#executor.write(span, lease);
  }
}
