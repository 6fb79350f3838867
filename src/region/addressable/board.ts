/**
 * Board of ranks that address each other's memory: one group's part of the common memory, with its gate and a record per rank.
 * Every record has two sides, which calls use in turn: a rank that begins the next call but one knows that nobody reads the
 * first one's side any more, for all have come to the call between. A word is written only where it differs: the lines that
 * tell of a repeated call stay in every core's cache.
 *
 *   byte                size  board
 *      0                      gate (gate-words.ts)
 *         2 × N × one side      rank 0's first, rank 0's second, rank 1's first …
 *
 *   byte                size  one side
 *      0                  88  fingerprint, eleven float64
 *     88               8 × N  offers: address and length, 32 bits each; 0xFFFFFFFF is no address
 *   to the next 64 SLOT_BYTES  slot
 */
import {
  CALL_FIELDS,
  isSkipped,
  readCall,
  sameCalls,
  setWord,
  writeCall,
  writeSkipped,
} from "../../wire/call-record.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import { gateBytes } from "./gate-words.ts";

/** Bytes of a rank's slot. */
export const SLOT_BYTES = 16_384;

const LINE_BYTES = 64;
const OFFERS_AT = CALL_FIELDS * Float64Array.BYTES_PER_ELEMENT;
const NO_ADDRESS = 0xffffffff;

function slotAt(size: number): number {
  return Math.ceil((OFFERS_AT + size * 8) / LINE_BYTES) * LINE_BYTES;
}

function sideBytes(size: number): number {
  return slotAt(size) + SLOT_BYTES;
}

/** Bytes of the board of a group of `size` ranks. */
export function boardBytes(size: number): number {
  return gateBytes(size) + 2 * size * sideBytes(size);
}

/** One rank's view of its group's board. */
export class AddressableBoard {
  /** The gate's words. */
  readonly gate: Int32Array;
  readonly #address: number;
  readonly #rank: number;
  readonly #floats: Float64Array;
  readonly #words: Uint32Array;
  readonly #sidesAt: number;
  readonly #sideBytes: number;
  readonly #slotAt: number;
  #side: 0 | 1 = 0;

  /** `buffer` holds the board at `address`, a multiple of 64. */
  constructor(buffer: ArrayBufferLike, address: number, rank: number, size: number) {
    const bytes = boardBytes(size);
    this.gate = new Int32Array(buffer, address, gateBytes(size) / 4);
    this.#floats = new Float64Array(buffer, address, bytes / 8);
    this.#words = new Uint32Array(buffer, address, bytes / 4);
    this.#address = address;
    this.#rank = rank;
    this.#sidesAt = gateBytes(size);
    this.#sideBytes = sideBytes(size);
    this.#slotAt = slotAt(size);
  }

  /** Begins this rank's next call. */
  begin(call: Fingerprint): void {
    this.#side = this.#side === 0 ? 1 : 0;
    writeCall(this.#floats, this.#at(this.#rank) / 8, call);
  }

  /** Do two ranks make the same call? */
  sameCalls(a: number, b: number): boolean {
    return sameCalls(this.#floats, this.#at(a) / 8, this.#at(b) / 8);
  }

  /** This rank comes to the next call, and does not make it. */
  skip(): void {
    this.#side = this.#side === 0 ? 1 : 0;
    writeSkipped(this.#floats, this.#at(this.#rank) / 8);
  }

  hasSkipped(rank: number): boolean {
    return isSkipped(this.#floats, this.#at(rank) / 8);
  }

  /** The call of `rank`. */
  callOf(rank: number): Fingerprint {
    return readCall(this.#floats, this.#at(rank) / 8);
  }

  /** Shows an address, or -1 for none, and what lies there. */
  offer(index: number, address: number, byteLength: number): void {
    const at = (this.#at(this.#rank) + OFFERS_AT) / 4 + 2 * index;
    setWord(this.#words, at, address < 0 ? NO_ADDRESS : address);
    setWord(this.#words, at + 1, byteLength);
  }

  /** The address that `rank` showed, or -1. */
  offered(rank: number, index: number): number {
    const address = this.#words[(this.#at(rank) + OFFERS_AT) / 4 + 2 * index]!;
    return address === NO_ADDRESS ? -1 : address;
  }

  /** Which side this rank's call uses. */
  get side(): 0 | 1 {
    return this.#side;
  }

  /** The address of `rank`'s slot. */
  slot(rank: number): number {
    return this.#address + this.#at(rank) + this.#slotAt;
  }

  #at(rank: number): number {
    return this.#sidesAt + (2 * rank + this.#side) * this.#sideBytes;
  }
}
