/**
 * XXH64 without WebAssembly, for pages that forbid it. A 64-bit number is two 32-bit ones, for BigInt takes thirty times as
 * long. A product's upper half stands in `high` when `multiply` has returned the lower one.
 */
import { CHECKSUM_BYTES, type Checksums, type RunningChecksum } from "../../wire/checksum.ts";

const STRIPE_BYTES = 32;

const [PRIME_1_HIGH, PRIME_1_LOW] = [0x9e3779b1, 0x85ebca87];
const [PRIME_2_HIGH, PRIME_2_LOW] = [0xc2b2ae3d, 0x27d4eb4f];
const [PRIME_3_HIGH, PRIME_3_LOW] = [0x165667b1, 0x9e3779f9];
const [PRIME_4_HIGH, PRIME_4_LOW] = [0x85ebca77, 0xc2b2ae63];
const [PRIME_5_HIGH, PRIME_5_LOW] = [0x27d4eb2f, 0x165667c5];

/** The upper half of the last result. */
let high = 0;

/** a × b modulo 2^64. */
function multiply(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  const [a0, a1, b0, b1] = [aLow & 0xffff, aLow >>> 16, bLow & 0xffff, bLow >>> 16];
  const low = Math.imul(a0, b0);
  const middle = (Math.imul(a1, b0) >>> 0) + (low >>> 16);
  const other = (Math.imul(a0, b1) >>> 0) + (middle & 0xffff);
  const carried = Math.imul(a1, b1) + Math.floor(middle / 65_536) + Math.floor(other / 65_536);
  high = (carried + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) | 0;
  return Math.imul(aLow, bLow);
}

/** a + b modulo 2^64. */
function add(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  const low = (aLow + bLow) | 0;
  high = (aHigh + bHigh + (low >>> 0 < aLow >>> 0 ? 1 : 0)) | 0;
  return low;
}

/** a rotated left by `bits`, which are 1 to 31. */
function rotate(aHigh: number, aLow: number, bits: number): number {
  high = (aHigh << bits) | (aLow >>> (32 - bits));
  return (aLow << bits) | (aHigh >>> (32 - bits));
}

/** XXH64's round: rotl(lane + input × P2, 31) × P1. */
function round(laneHigh: number, laneLow: number, inputHigh: number, inputLow: number): number {
  let low = multiply(inputHigh, inputLow, PRIME_2_HIGH, PRIME_2_LOW);
  low = add(high, low, laneHigh, laneLow);
  low = rotate(high, low, 31);
  return multiply(high, low, PRIME_1_HIGH, PRIME_1_LOW);
}

class PlainSum implements RunningChecksum {
  readonly #seedHigh: number;
  readonly #seedLow: number;
  /** The four lanes, each its lower half first. */
  readonly #lanes = new Int32Array(8);
  readonly #rest = new Uint8Array(STRIPE_BYTES);
  readonly #restView = new DataView(this.#rest.buffer);
  #restBytes = 0;
  #takenBytes = 0;

  constructor(seedLow: number, seedHigh: number) {
    this.#seedHigh = seedHigh | 0;
    this.#seedLow = seedLow | 0;
    const lanes = this.#lanes;
    let low = add(seedHigh, seedLow, PRIME_1_HIGH, PRIME_1_LOW);
    low = add(high, low, PRIME_2_HIGH, PRIME_2_LOW);
    lanes.set([low, high]);
    low = add(seedHigh, seedLow, PRIME_2_HIGH, PRIME_2_LOW);
    lanes.set([low, high, seedLow, seedHigh], 2);
    // Minus P1 is plus its complement.
    low = add(seedHigh, seedLow, ~PRIME_1_HIGH, -PRIME_1_LOW);
    lanes.set([low, high], 6);
  }

  add(bytes: Uint8Array): void {
    this.#takenBytes += bytes.byteLength;
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(STRIPE_BYTES - this.#restBytes, bytes.byteLength);
      this.#rest.set(bytes.subarray(0, at), this.#restBytes);
      this.#restBytes += at;
      if (this.#restBytes < STRIPE_BYTES) return;
      this.#stripes(this.#restView, 0, STRIPE_BYTES);
    }
    const whole = at + Math.floor((bytes.byteLength - at) / STRIPE_BYTES) * STRIPE_BYTES;
    this.#stripes(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at, whole);
    this.#rest.set(bytes.subarray(whole));
    this.#restBytes = bytes.byteLength - whole;
  }

  end(target: Uint8Array, at: number): void {
    let low =
      this.#takenBytes >= STRIPE_BYTES ? this.#merged() : add(this.#seedHigh, this.#seedLow, PRIME_5_HIGH, PRIME_5_LOW);
    low = add(high, low, Math.floor(this.#takenBytes / 2 ** 32), this.#takenBytes);
    low = this.#withRest(high, low);
    // hash ^ (hash >>> 33), and so on: the shifts of the end.
    low = multiply(high, low ^ (high >>> 1), PRIME_2_HIGH, PRIME_2_LOW);
    low = multiply(high ^ (high >>> 29), low ^ ((low >>> 29) | (high << 3)), PRIME_3_HIGH, PRIME_3_LOW);
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    view.setUint32(at, low ^ high, true);
    view.setUint32(at + CHECKSUM_BYTES / 2, high, true);
  }

  #stripes(view: DataView, start: number, end: number): void {
    const lanes = this.#lanes;
    for (let at = start; at < end; at += STRIPE_BYTES) {
      for (let lane = 0; lane < 8; lane += 2) {
        const inputAt = at + lane * 4;
        const [inputLow, inputHigh] = [view.getInt32(inputAt, true), view.getInt32(inputAt + 4, true)];
        lanes[lane] = round(lanes[lane + 1]!, lanes[lane]!, inputHigh, inputLow);
        lanes[lane + 1] = high;
      }
    }
  }

  /** The hash of the lanes: its lower half, the upper one in `high`. */
  #merged(): number {
    const lanes = this.#lanes;
    let [low, upper] = [0, 0];
    for (const [i, bits] of [1, 7, 12, 18].entries()) {
      const turned = rotate(lanes[2 * i + 1]!, lanes[2 * i]!, bits);
      low = add(upper, low, high, turned);
      upper = high;
    }
    for (let lane = 0; lane < 8; lane += 2) {
      const mixed = round(0, 0, lanes[lane + 1]!, lanes[lane]!);
      low = multiply(upper ^ high, low ^ mixed, PRIME_1_HIGH, PRIME_1_LOW);
      low = add(high, low, PRIME_4_HIGH, PRIME_4_LOW);
      upper = high;
    }
    return low;
  }

  /** Takes the bytes behind the last whole stripe into a hash. */
  #withRest(hashHigh: number, hashLow: number): number {
    let [upper, low] = [hashHigh, hashLow];
    let at = 0;
    for (; at + 8 <= this.#restBytes; at += 8) {
      const mixed = round(0, 0, this.#restView.getInt32(at + 4, true), this.#restView.getInt32(at, true));
      low = rotate(upper ^ high, low ^ mixed, 27);
      low = multiply(high, low, PRIME_1_HIGH, PRIME_1_LOW);
      low = add(high, low, PRIME_4_HIGH, PRIME_4_LOW);
      upper = high;
    }
    if (at + 4 <= this.#restBytes) {
      const mixed = multiply(0, this.#restView.getInt32(at, true), PRIME_1_HIGH, PRIME_1_LOW);
      low = rotate(upper ^ high, low ^ mixed, 23);
      low = multiply(high, low, PRIME_2_HIGH, PRIME_2_LOW);
      low = add(high, low, PRIME_3_HIGH, PRIME_3_LOW);
      upper = high;
      at += 4;
    }
    for (; at < this.#restBytes; at++) {
      const mixed = multiply(0, this.#rest[at]!, PRIME_5_HIGH, PRIME_5_LOW);
      low = rotate(upper ^ high, low ^ mixed, 11);
      low = multiply(high, low, PRIME_1_HIGH, PRIME_1_LOW);
      upper = high;
    }
    high = upper;
    return low;
  }
}

/** See the file's head. */
export const PLAIN_XXH64: Checksums = {
  description: "plain",
  write(bytes, seedLow, seedHigh, target, at) {
    const sum = new PlainSum(seedLow, seedHigh);
    sum.add(bytes);
    sum.end(target, at);
  },
  begin: () => new PlainSum(0, 0),
};
