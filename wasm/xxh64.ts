/**
 * XXH64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) over bytes that come in pieces. Nothing here has static data: the
 * caller says where a state lies.
 *
 *   byte  size  state
 *      0    32  the four lanes
 *     32     8  bytes taken so far
 *     40     8  seed
 *     48    32  the bytes behind the last whole stripe, (bytes taken) modulo 32 of them
 *     80     8  the hash, after `digest`
 */
const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;
const PRIME_4: u64 = 0x85ebca77c2b2ae63;
const PRIME_5: u64 = 0x27d4eb2f165667c5;

const TAKEN: usize = 32;
const SEED: usize = 40;
const REST: usize = 48;
const HASH: usize = 80;
const STRIPE: usize = 32;

// @ts-ignore: decorator
@inline
function round(lane: u64, input: u64): u64 {
  return rotl<u64>(lane + input * PRIME_2, 31) * PRIME_1;
}

// @ts-ignore: decorator
@inline
function merged(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
}

/** Whole stripes from `at` to `end`. */
function stripes(state: usize, at: usize, end: usize): void {
  let a = load<u64>(state);
  let b = load<u64>(state, 8);
  let c = load<u64>(state, 16);
  let d = load<u64>(state, 24);
  for (; at < end; at += STRIPE) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
  }
  store<u64>(state, a);
  store<u64>(state, b, 8);
  store<u64>(state, c, 16);
  store<u64>(state, d, 24);
}

export function begin(state: usize, seedLow: u32, seedHigh: u32): void {
  const seed = ((seedHigh as u64) << 32) | (seedLow as u64);
  store<u64>(state, seed + PRIME_1 + PRIME_2);
  store<u64>(state, seed + PRIME_2, 8);
  store<u64>(state, seed, 16);
  store<u64>(state, seed - PRIME_1, 24);
  store<u64>(state, 0, TAKEN);
  store<u64>(state, seed, SEED);
}

export function update(state: usize, at: usize, bytes: usize): void {
  const end = at + bytes;
  const waiting = (load<u64>(state, TAKEN) as usize) & (STRIPE - 1);
  store<u64>(state, load<u64>(state, TAKEN) + (bytes as u64), TAKEN);
  if (waiting > 0) {
    const missing = STRIPE - waiting;
    if (bytes < missing) {
      memory.copy(state + REST + waiting, at, bytes);
      return;
    }
    memory.copy(state + REST + waiting, at, missing);
    stripes(state, state + REST, state + REST + STRIPE);
    at += missing;
  }
  const whole = at + ((end - at) & ~(STRIPE - 1));
  if (whole > at) stripes(state, at, whole);
  if (end > whole) memory.copy(state + REST, whole, end - whole);
}

export function digest(state: usize): void {
  const taken = load<u64>(state, TAKEN);
  let hash: u64;
  if (taken >= STRIPE) {
    const a = load<u64>(state);
    const b = load<u64>(state, 8);
    const c = load<u64>(state, 16);
    const d = load<u64>(state, 24);
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = merged(merged(merged(merged(hash, a), b), c), d);
  } else {
    hash = load<u64>(state, SEED) + PRIME_5;
  }
  hash += taken;
  let at = state + REST;
  const end = at + ((taken as usize) & (STRIPE - 1));
  for (; at + 8 <= end; at += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(at)), 27) * PRIME_1 + PRIME_4;
  if (at + 4 <= end) {
    hash = rotl<u64>(hash ^ ((load<u32>(at) as u64) * PRIME_1), 23) * PRIME_2 + PRIME_3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl<u64>(hash ^ ((load<u8>(at) as u64) * PRIME_5), 11) * PRIME_1;
  hash = (hash ^ (hash >> 33)) * PRIME_2;
  hash = (hash ^ (hash >> 29)) * PRIME_3;
  store<u64>(state, hash ^ (hash >> 32), HASH);
}
