import { createHash, createHmac, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { hmacSha256, sha256 } from "../../src/wire/sha256.ts";

describe("sha256() and hmacSha256()", () => {
  it("give what node:crypto gives, at every length around the ends of blocks", () => {
    for (let length = 0; length < 300; length++) {
      const message = new Uint8Array(randomBytes(length));
      const key = new Uint8Array(randomBytes((length * 7) % 200));
      expect(Buffer.from(sha256(message)).toString("hex")).toBe(createHash("sha256").update(message).digest("hex"));
      expect(Buffer.from(sha256(key, message))).toEqual(createHash("sha256").update(key).update(message).digest());
      expect(Buffer.from(hmacSha256(key, message))).toEqual(createHmac("sha256", key).update(message).digest());
    }
    const long = new Uint8Array(1_000_003).fill(97);
    expect(Buffer.from(sha256(long))).toEqual(createHash("sha256").update(long).digest());
  });

  it("take their constants from roots that no engine's rounding can change", () => {
    const primes: number[] = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
    const roots = [...primes.slice(0, 8).map(Math.sqrt), ...primes.map(Math.cbrt)];
    for (const root of roots) {
      const scaled = (root % 1) * 2 ** 32;
      const distance = Math.abs(scaled - Math.round(scaled));
      expect(distance).toBeGreaterThan(2 ** -12);
    }
  });
});
