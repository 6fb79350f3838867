import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Deadlines } from "../../src/support/deadlines.ts";

describe("Deadlines", () => {
  it("expires in the order of the deadlines, not of setting, where the event loop is busy too", async () => {
    const drawn = fc.record({ delays: fc.array(fc.nat(30), { minLength: 1, maxLength: 12 }), busyMs: fc.nat(40) });
    const expires = async ({ delays, busyMs }: { delays: number[]; busyMs: number }) => {
      const deadlines = new Deadlines();
      const order: number[] = [];
      const set: { at: number }[] = [];
      await new Promise<void>((resolve) => {
        for (const delayMs of delays) {
          const deadline = deadlines.set(delayMs, () => {
            order.push(deadline.at);
            if (order.length === delays.length) resolve();
          });
          set.push(deadline);
        }
        const end = Date.now() + busyMs;
        while (Date.now() < end);
      });
      expect(order).toEqual(set.map(({ at }) => at).sort((a, b) => a - b));
    };
    await fc.assert(fc.asyncProperty(drawn, expires), { numRuns: 20 });
  });

  it("does not expire what was cleared", async () => {
    const deadlines = new Deadlines();
    let expired = false;
    const cleared = deadlines.set(1, () => {
      expired = true;
    });
    deadlines.clear(cleared);
    await new Promise<void>((resolve) => deadlines.set(10, resolve));
    expect(expired).toBe(false);
  });

  it("takes a deadline from within an expiry", async () => {
    const deadlines = new Deadlines();
    await new Promise<void>((resolve) => deadlines.set(1, () => deadlines.set(1, resolve)));
  });

  it("close() clears all", async () => {
    const deadlines = new Deadlines();
    let expired = 0;
    deadlines.set(1, () => expired++);
    deadlines.close();
    const others = new Deadlines();
    await new Promise<void>((resolve) => others.set(10, resolve));
    expect(expired).toBe(0);
  });
});
