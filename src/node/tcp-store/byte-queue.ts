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
    if (count === 0) return NOTHING;
    const piece = this.#together(count);
    const taken = piece.subarray(this.#at, this.#at + count);
    this.#skip(piece, count);
    return taken;
  }

  /** Takes one byte, which has come. */
  takeByte(): number {
    const piece = this.#pieces[this.#first]!;
    const byte = piece[this.#at]!;
    this.#skip(piece, 1);
    return byte;
  }

  /** Takes a little-endian integer of 8 bytes, which have come. Past 2^53 the nearest number stands for it. */
  takeUint64(): number {
    const piece = this.#together(8);
    const number = piece.readUInt32LE(this.#at) + piece.readUInt32LE(this.#at + 4) * 2 ** 32;
    this.#skip(piece, 8);
    return number;
  }

  /** The first piece, in which the next `count` bytes stand: they are joined where they came in several. */
  #together(count: number): Buffer {
    const piece = this.#pieces[this.#first]!;
    if (piece.length - this.#at >= count) return piece;
    const joined = Buffer.allocUnsafe(count);
    this.#length += count;
    for (let filled = 0; filled < count; ) {
      const next = this.#pieces[this.#first]!;
      const part = Math.min(count - filled, next.length - this.#at);
      next.copy(joined, filled, this.#at, this.#at + part);
      filled += part;
      this.#skip(next, part);
    }
    // They stand before the bytes that are left of the last piece, which are a piece of their own.
    if (this.#at > 0) this.#pieces[this.#first] = this.#pieces[this.#first]!.subarray(this.#at);
    this.#at = 0;
    if (this.#first > 0) this.#pieces[--this.#first] = joined;
    else this.#pieces.unshift(joined);
    return joined;
  }

  /** Leaves `count` bytes of the first piece behind. */
  #skip(piece: Buffer, count: number): void {
    this.#length -= count;
    this.#at += count;
    if (this.#at < piece.length) return;
    this.#at = 0;
    this.#first++;
    // Pieces that were taken are let go in batches, so that a queue of many costs each of them once.
    if (this.#first === this.#pieces.length || this.#first > 1_024) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

const NOTHING = Buffer.alloc(0);
