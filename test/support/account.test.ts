import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeySpace } from "../../src/store/key-space.ts";
import { Account } from "../../src/support/account.ts";

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("Account", () => {
  it("keeps every limit by evicting the biggest holder, whatever is charged", async () => {
    const charges = fc.array(fc.tuple(fc.nat(2), fc.nat(3), fc.boolean(), fc.integer({ min: 1, max: 60 })), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(charges, async (drawn) => {
        const hub = new Account({ name: "this hub", limit: 300 });
        const members = [0, 1, 2].map(() => {
          const room = new Account({ name: "this group", limit: 150, parent: hub });
          return [0, 1, 2, 3].map(() => {
            const account = new Account({
              name: "this rank",
              parent: room,
              evict: () => {},
            });
            const begun = new Account({ name: "this rank", limit: 80, parent: account });
            return { room, account, begun };
          });
        });
        for (const [group, member, isBegun, bytes] of drawn) {
          const { account, begun, room } = members[group]![member]!;
          (isBegun ? begun : account).charge(bytes);
          await settled();
          expect(hub.held).toBeLessThanOrEqual(300);
          expect(room.held).toBeLessThanOrEqual(150);
        }
        for (const { account } of members.flat()) account.close();
        expect(hub.held).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it("evicts the biggest of all, and lets the others be", async () => {
    const hub = new Account({ name: "this hub", limit: 100 });
    const gone: string[] = [];
    const open = (name: string) =>
      new Account({ name, parent: hub, evict: (reason) => void gone.push(`${name}: ${reason}`) });
    const [big, small, last] = [open("big"), open("small"), open("last")];
    big.charge(60);
    small.charge(30);
    last.charge(20);
    await settled();
    expect(gone).toEqual(["big: too many bytes are kept for this hub"]);
    expect(hub.held).toBe(50);
    big.release(60);
    expect(hub.held).toBe(50);
  });
});

describe("KeySpace.append()", () => {
  it("copies what is there a few times, not at each append, and changes nothing that a reader has", () => {
    const space = new KeySpace();
    const buffers = new Set<ArrayBufferLike>();
    const readers: [Uint8Array, number][] = [];
    for (let i = 0; i < 10_000; i++) {
      space.append("key", Uint8Array.of(i, i >> 8, 7));
      const value = space.get("key")!;
      buffers.add(value.buffer);
      if (i % 997 === 0) readers.push([value, i]);
    }
    expect(buffers.size).toBeLessThan(60);
    const whole = Uint8Array.from({ length: 30_000 }, (_, at) => [(at / 3) | 0, ((at / 3) | 0) >> 8, 7][at % 3]!);
    expect(Buffer.from(space.get("key")!).equals(whole)).toBe(true);
    for (const [value, i] of readers) expect(Buffer.from(value).equals(whole.subarray(0, 3 * i + 3))).toBe(true);
  });
});
