/**
 * SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104) of short messages, written here because pages outside a secure
 * context have no crypto.subtle, and a library of hashes would be a twentieth of the code that a page loads.
 */

const BLOCK_BYTES = 64;

/** The first 32 bits behind the point of f(p), for the first primes p. */
function fractions(count: number, f: (prime: number) => number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes.map((prime) => Math.floor((f(prime) % 1) * 2 ** 32));
}

const INITIAL = fractions(8, Math.sqrt);
const ROUND = fractions(64, Math.cbrt);

const rotate = (word: number, bits: number) => (word >>> bits) | (word << (32 - bits));

/** The hash of the parts, one after the other. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  // A one, zeros, and the length in bits fill the last block.
  const padded = new Uint8Array(Math.ceil((byteLength + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  let at = 0;
  for (const part of parts) {
    padded.set(part, at);
    at += part.byteLength;
  }
  padded[at] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.byteLength - 8, Math.floor(byteLength / 2 ** 29));
  view.setUint32(padded.byteLength - 4, (byteLength % 2 ** 29) * 8);

  const state = Int32Array.from(INITIAL);
  const schedule = new DataView(new ArrayBuffer(4 * 64));
  const word = (t: number) => schedule.getInt32(4 * t);
  for (let block = 0; block < padded.byteLength; block += BLOCK_BYTES) {
    for (let t = 0; t < 64; t++) {
      if (t < 16) {
        schedule.setInt32(4 * t, view.getInt32(block + 4 * t));
        continue;
      }
      const [early, late] = [word(t - 15), word(t - 2)];
      const sigma0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
      const sigma1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
      schedule.setInt32(4 * t, word(t - 16) + sigma0 + word(t - 7) + sigma1);
    }
    compress(state, schedule);
  }
  const hash = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => {
    hash.setInt32(4 * i, word);
  });
  return new Uint8Array(hash.buffer);
}

function compress(state: Int32Array, schedule: DataView): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (const [t, constant] of ROUND.entries()) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + sum1 + ((e & f) ^ (~e & g)) + constant + schedule.getInt32(4 * t)) | 0;
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
  }
  const sums = [a, b, c, d, e, f, g, h];
  state.forEach((word, i) => {
    state[i] = word + (sums[i] ?? 0);
  });
}

/** The keyed hash of a message. */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const short = key.byteLength > BLOCK_BYTES ? sha256(key) : key;
  const pad = (value: number) => Uint8Array.from({ length: BLOCK_BYTES }, (_, i) => (short[i] ?? 0) ^ value);
  return sha256(pad(0x5c), sha256(pad(0x36), message));
}
