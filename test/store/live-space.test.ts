/** LiveSpace: waiters that look for long take turns with everything else. */
import { expect, it } from "vitest";
import { LiveSpace } from "../../src/store/live-space.ts";
import { SpaceStore } from "../../src/store/space-store.ts";

const LOOK_MS = 2;

/** Waits for `key`, and takes its time to look whether it is there. Counts its looks. */
function slowWaiter(space: LiveSpace, key: string) {
  const waiter = { looks: 0, isServed: false, end: () => {} };
  waiter.end = space.until(() => {
    waiter.looks++;
    for (const end = performance.now() + LOOK_MS; performance.now() < end; );
    waiter.isServed = space.contents.has(key);
    return waiter.isServed ? null : key;
  });
  return waiter;
}

it("a write that wakes 20 slow waiters returns after one of them, and the others are served soon, in their order", async () => {
  const space = new LiveSpace();
  const waiters = Array.from({ length: 20 }, () => slowWaiter(space, "key"));
  space.set("key", new Uint8Array(1));
  const served = () => waiters.filter(({ isServed }) => isServed).length;
  expect(served()).toBe(1);
  expect(waiters[0]!.isServed).toBe(true);
  await expect.poll(served, { interval: 1 }).toBe(20);
  expect(waiters.map(({ looks }) => looks)).toEqual(Array(20).fill(2));
});

it("writes that wake a waiter again and again before its turn make it look once", async () => {
  const space = new LiveSpace();
  const waiters = Array.from({ length: 4 }, () => slowWaiter(space, "key"));
  for (let i = 0; i < 100; i++) space.append("key", new Uint8Array(1));
  await expect.poll(() => waiters.every(({ isServed }) => isServed), { interval: 1 }).toBe(true);
  for (const { looks } of waiters) expect(looks).toBeLessThan(6);
});

it("waiters whose turn has not come see a key that is taken away at once", () => {
  const space = new LiveSpace();
  const waiters = Array.from({ length: 4 }, () => slowWaiter(space, "key"));
  space.set("key", new Uint8Array(1));
  expect(waiters.map(({ isServed }) => isServed)).toEqual([true, false, false, false]);
  expect(space.delete("key")).toBe(true);
  expect(waiters.map(({ isServed }) => isServed)).toEqual([true, true, true, true]);
});

it("whoever came first for what a queue holds gets it first", async () => {
  const space = new LiveSpace();
  const slow = slowWaiter(space, "queue");
  const store = new SpaceStore(space);
  const first = store.queuePop("queue");
  await store.queuePush("queue", "1");
  await store.queuePush("queue", "2");
  const second = store.queuePop("queue");
  expect([await first, await second].map((bytes) => new TextDecoder().decode(bytes))).toEqual(["1", "2"]);
  slow.end();
});

it("one that has ended its wait before its turn does not look any more", async () => {
  const space = new LiveSpace();
  const [first, ...others] = Array.from({ length: 3 }, () => slowWaiter(space, "key"));
  space.set("key", new Uint8Array(1));
  others[1]!.end();
  await expect.poll(() => others[0]!.isServed, { interval: 1 }).toBe(true);
  expect(first!.isServed).toBe(true);
  expect(others[1]!.looks).toBe(1);
});
