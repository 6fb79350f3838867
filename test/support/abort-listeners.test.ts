import { getEventListeners } from "node:events";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { onAbort } from "../../src/support/abort-listeners.ts";

describe("whoever hears of an aborted signal", () => {
  it("shares one listener with all others of that signal, and is told once unless it forgets", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 300 }), (forgets) => {
        const controller = new AbortController();
        const { signal } = controller;
        const told: number[] = [];
        const forget = forgets.map((_, index) => onAbort(signal, () => told.push(index)));
        expect(getEventListeners(signal, "abort")).toHaveLength(1);
        forgets.forEach((isForgotten, index) => {
          if (isForgotten) forget[index]?.();
        });
        const waiting = forgets.flatMap((isForgotten, index) => (isForgotten ? [] : [index]));
        expect(getEventListeners(signal, "abort")).toHaveLength(Math.min(waiting.length, 1));
        controller.abort();
        expect(told).toEqual(waiting);
      }),
      { numRuns: 50 },
    );
  });
});
