import { createHash, createHmac, randomBytes } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hmacSha256, sha256 } from "../../src/wire/hash.ts";

afterEach(() => void vi.unstubAllGlobals());

describe.each(["with crypto.subtle", "without it, as in a page of plain http"])(
  "sha256() and hmacSha256() %s",
  (where) => {
    it("give what node:crypto gives, at every length around the ends of blocks", async () => {
      if (where.startsWith("without")) vi.stubGlobal("crypto", {});
      for (let length = 0; length < 300; length++) {
        const message = new Uint8Array(randomBytes(length));
        const key = new Uint8Array(randomBytes((length * 7) % 200));
        expect(Buffer.from(await sha256(message))).toEqual(createHash("sha256").update(message).digest());
        expect(Buffer.from(await hmacSha256(key, message))).toEqual(createHmac("sha256", key).update(message).digest());
      }
      const shared = new Uint8Array(new SharedArrayBuffer(1_000_003)).fill(97);
      expect(Buffer.from(await sha256(shared))).toEqual(createHash("sha256").update(Uint8Array.from(shared)).digest());
      expect(Buffer.from(await hmacSha256(shared, shared))).toEqual(
        createHmac("sha256", Uint8Array.from(shared)).update(Uint8Array.from(shared)).digest(),
      );
    });
  },
);
