/** ByteQueue: bytes that have come, in the pieces in which they came, and are taken in any lengths. */
export class ByteQueue {
  readonly #pieces: Buffer[] = [];
  /** The piece that is taken first, and where in it. */
  #first = 0;
  #at = 0;
  #length = 0;

  /** Bytes that have come and have not been taken. */
  get length(): number {
    return this.#length;
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  /** Takes `count` bytes, which have come. They are copied only where they came in several pieces. */
  take(count: number): Buffer {
    const piece = this.#pieces[this.#first];
    this.#length -= count;
    if (piece && piece.length - this.#at >= count) {
      const taken = piece.subarray(this.#at, this.#at + count);
      this.#skip(count);
      return taken;
    }
    const taken = Buffer.allocUnsafe(count);
    for (let filled = 0; filled < count; ) {
      const next = this.#pieces[this.#first]!;
      const part = Math.min(count - filled, next.length - this.#at);
      next.copy(taken, filled, this.#at, this.#at + part);
      filled += part;
      this.#skip(part);
    }
    return taken;
  }

  /** Leaves `count` bytes of the first piece behind. */
  #skip(count: number): void {
    this.#at += count;
    if (this.#at < this.#pieces[this.#first]!.length) return;
    this.#at = 0;
    this.#first++;
    // Pieces that were taken are let go in batches, so that a queue of many costs each of them once.
    if (this.#first === this.#pieces.length || this.#first > 1_024) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
  }
}
