import { describe, expect, it } from "vitest";
import { Deadlines } from "../../src/support/deadlines.ts";

describe("Deadlines", () => {
  it("expires in the order of the deadlines, not of setting", async () => {
    const deadlines = new Deadlines();
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      deadlines.set(30, () => {
        order.push("late");
        resolve();
      });
      deadlines.set(5, () => order.push("early"));
    });
    expect(order).toEqual(["early", "late"]);
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
