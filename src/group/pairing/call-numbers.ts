/**
 * Call numbers: plain collectives have one row of numbers, in the order in which the program makes them, and composed calls (turns.ts)
 * another one, in the order of their turns. Both orders are the same on every rank; the sequence, in which both have their places, need
 * not be, for a plain call may run before a composed one that was made earlier, on one rank and not on another. So each collective tells
 * the others the number of its call: two whose numbers differ are a mismatch, though all else may be equal.
 *
 * A refused call has no number. Once all ranks have heard of one they count alike: the collective by which they heard has its sequence
 * as its number, in either row.
 */

/** How many calls of each row have begun. */
export interface Begun {
  readonly plain: number;
  readonly composed: number;
}

/** See the file's head. */
export class CallNumbers {
  #plain = 0;
  #composed = 0;
  /** A number less the count. */
  #plainShift = 0;
  #composedShift = 0;

  /** The number of the plain collective that is made next. */
  get next(): number {
    return this.#plain + 1 + this.#plainShift;
  }

  /** The plain collective that had the number {@link next} has begun. */
  begin(): void {
    this.#plain++;
  }

  /** A composed call makes its first collective. Returns its place, whose number {@link ofComposed} gives. */
  beginComposed(): number {
    return ++this.#composed;
  }

  ofComposed(place: number): number {
    return place + this.#composedShift;
  }

  get begun(): Begun {
    return { plain: this.#plain, composed: this.#composed };
  }

  /** By the collective `sequence`, with which so many calls had begun, all ranks have heard of a refused call. */
  resume(sequence: number, { plain, composed }: Begun): void {
    this.#plainShift = sequence - plain;
    this.#composedShift = sequence - composed;
  }
}
