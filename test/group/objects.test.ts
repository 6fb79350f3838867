/** Object collectives of whole groups: what cannot be carried, and what a peer sends that is none. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { ProtocolError } from "../../src/errors.ts";
import { initProcessGroup, type ProcessGroup } from "../../src/node/index.ts";
import type { Request } from "../../src/request.ts";
import { encodeControl, OBJECT_LIMITS } from "../../src/wire/control.ts";
import { errorOf, expectWhole } from "../bad-input/helpers.ts";
import { withGroup } from "../conformance/harness.ts";
import { drawn, mutated } from "../helpers/mutations.ts";

/** What no rank can send, with the path that its error names. */
const UNSENDABLE: [unknown, string][] = [
  [JSON.parse('{"__proto__":1,"\ufeff__proto__":2}'), "value.__proto__"],
  [{ rows: [{ text: "ä".repeat(300_000_000) }] }, "value.rows[0].text"],
  [{ a: { b: [1, 2, 3, new Float32Array(2)] } }, "value.a.b[3]"],
];

describe("a value that cannot be carried", () => {
  it.each(["memory", "websocket"] as const)(
    "rejects the call by its path, and the group is whole (%s)",
    async (kind) => {
      await withGroup(kind, 2, async (group) => {
        for (const [value, path] of UNSENDABLE) {
          const error = await errorOf(() => group.allGatherObject(value));
          expect(error).toBeInstanceOf(TypeError);
          expect(error.message).toContain(`${path} cannot be sent`);
        }
        const error = await errorOf(() => group.scatterObject([1, { a: [new Date()] }], { root: group.rank }));
        expect(error.message).toContain("values[1].a[0] cannot be sent");
        const bom = { "\ufeffid": "\ufeff".repeat(100), alone: "\ud800", nothing: undefined, zero: -0 };
        expect(await group.allGatherObject(bom)).toStrictEqual([bom, bom]);
        await expectWhole(group);
      });
    },
  );
});

describe("bytes that are no value", () => {
  const VALUES = [null, -0, "\ufeffa", { a: [1, { b: new Uint8Array(40) }], text: "x".repeat(70) }, [1n, undefined]];

  /** A backend whose other rank sent `bytes`. */
  class Receiving implements Backend {
    readonly name = "receiving";
    bytes = new Uint8Array(0);
    inTime = false;
    run(request: Request): Promise<undefined> | undefined {
      if ("received" in request) request.received.fill(this.bytes);
      return this.inTime ? undefined : Promise.resolve(undefined);
    }
    stragglers = () => Promise.resolve([]);
    withdraw = () => false;
    abort() {}
    sitOut() {}
    dispose = () => Promise.resolve();
  }

  const CALLS: Record<string, (group: ProcessGroup) => PromiseLike<unknown>> = {
    allGatherObject: (group) => group.allGatherObject(1),
    broadcastObject: (group) => group.broadcastObject(1, { root: 0 }),
    gatherObject: (group) => group.gatherObject(1, { root: 0 }),
    scatterObject: (group) => group.scatterObject([1], { root: 0 }),
    split: (group) => group.split(0, 0),
  };

  it.each(Object.keys(CALLS))("reject %s, whether it ends at once or later, and nothing else", async (name) => {
    const backend = new Receiving();
    const initMethod = `memory://objects-${name}`;
    const group = await initProcessGroup({ initMethod, rank: 0, worldSize: 1, backend: () => backend });
    const uncaught: unknown[] = [];
    const note = (error: unknown) => uncaught.push(error);
    process.on("uncaughtException", note).on("unhandledRejection", note);
    const valid = VALUES.map((value) => encodeControl(value, OBJECT_LIMITS));
    let rejected = 0;
    for (const bytes of drawn(fc.oneof(mutated(valid), fc.uint8Array({ maxLength: 30 })), 300)) {
      backend.bytes = new Uint8Array(bytes);
      for (const inTime of [true, false]) {
        backend.inTime = inTime;
        const work = CALLS[name]!(group);
        const error = await Promise.resolve(work).then(
          () => null,
          (caught: unknown) => caught,
        );
        if (!error) continue;
        rejected++;
        expect(error).toBeInstanceOf(ProtocolError);
        expect((error as Error).message).toMatch(/rank 0/);
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    process.off("uncaughtException", note).off("unhandledRejection", note);
    expect(uncaught).toEqual([]);
    expect(rejected).toBeGreaterThan(100);
    await group.destroy();
  });
});
