/** Long calls of several members share the memory in which a hub reads them: nothing of one may show in another. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { ControlReader } from "../../src/hub/control-reader.ts";
import { FragmentsPayload } from "../../src/link/payload/fragments.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { joinConnection, openHub } from "./support.ts";

const CALLS = ["set", "append", "queuePush", "compareSet", "compareSetOfNothing", "multiSet"] as const;

const draw = fc.record({
  call: fc.constantFrom(...CALLS),
  member: fc.nat(2),
  /** Of one read, of several, and longer than the memory that is used again is at first. */
  length: fc.oneof(
    fc.nat(300),
    fc.integer({ min: 60_000, max: 140_000 }),
    fc.integer({ min: 300_000, max: 1_500_000 }),
  ),
  fill: fc.integer({ min: 1, max: 255 }),
});

it("a hub keeps what each of three members said, whatever the others say next", { timeout: 60_000 }, async () => {
  const hub = await openHub({ quotas: { storeBytes: Number.POSITIVE_INFINITY } });
  let groups = 0;
  const property = fc.asyncProperty(
    fc.array(draw, { minLength: 2, maxLength: 12 }),
    fc.boolean(),
    async (draws, withSums) => {
      const names = [0, 1, 2].map((member) => `group ${groups++} ${member}`);
      const joined = await Promise.all(names.map((group) => joinConnection(hub, { group, checksums: withSums })));
      const stores = joined.map(({ connection }) => new HubStore(connection));
      // All at once: each hub read finds parts of several.
      const checks = draws.map(async ({ call, member, length, fill }, i) => {
        const store = stores[member]!;
        const value = new Uint8Array(length).fill(fill);
        const same = (bytes: Uint8Array) => expect(Buffer.from(bytes).equals(value)).toBe(true);
        const key = `key ${i}`;
        if (call === "set") await store.set(key, value);
        if (call === "append") await store.append(key, value);
        if (call === "multiSet") await store.multiSet([key, `${key} too`], [value, value.subarray(1)]);
        if (call === "compareSet") same(await store.compareSet(key, "", value));
        if (call === "compareSetOfNothing") same(await store.compareSet(key, value, length === 0 ? value : "other"));
        if (call === "queuePush") await store.queuePush(key, value);
        return async () => {
          if (call === "queuePush") same(await store.queuePop(key));
          else if (call !== "compareSetOfNothing") same(await store.get(key));
        };
      });
      for (const check of await Promise.all(checks)) await check();
      for (const { connection } of joined) connection.close();
    },
  );
  await fc.assert(property, { numRuns: 25 });
});

it("takes back no memory but its own, where one read has bytes of two members", () => {
  const reader = new ControlReader();
  const long = encodeControl({ type: "call", id: 1, value: new Uint8Array(100_000).fill(1) });
  // One read of 64 KiB: the end of one member's message, and the beginning of another's. Some runtimes give Buffers.
  const read = Buffer.alloc(65_536, 7);
  read.set(long.subarray(60_000));
  const begun = reader.copy(read.subarray(long.byteLength - 60_000));
  const start = reader.copy(Buffer.from(long.subarray(0, 60_000)));
  reader.read(new FragmentsPayload([start, read.subarray(0, long.byteLength - 60_000)]));
  reader.copy(Buffer.alloc(65_536, 9));
  expect(begun.every((byte) => byte === 7)).toBe(true);
  expect(read.subarray(long.byteLength - 60_000).every((byte) => byte === 7)).toBe(true);
});
