import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { watchLiveness } from "../../src/link/websocket/liveness.ts";

/** A proxy that ends a connection on which one side is silent gives it 20 s or more: half of that leaves room for a late ping. */
const LONGEST_PAUSE_MS = 10_000;

describe("watchLiveness()", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Watches a socket that answers until `diesAt`; the times of pings, and of its end. */
  function watch(timeoutMs: number, diesAt: number, untilMs: number) {
    const pings: number[] = [];
    const socket = {
      bytesRead: 0,
      isPaused: false,
      ping() {
        pings.push(Date.now() - begin);
        if (Date.now() - begin < diesAt) this.bytesRead++;
      },
    };
    let silentAt = Number.POSITIVE_INFINITY;
    const begin = Date.now();
    const stop = watchLiveness(socket, timeoutMs, () => {
      silentAt = Date.now() - begin;
    });
    vi.advanceTimersByTime(untilMs);
    stop();
    return { pings, silentAt };
  }

  it("pings every 10 s or more often, whatever the timeout, and for ever where there is none", () => {
    const timeouts = fc.oneof(
      fc.integer({ min: 1_000, max: 3_600_000 }),
      fc.constantFrom(60_000, Number.POSITIVE_INFINITY),
    );
    fc.assert(
      fc.property(timeouts, (timeoutMs) => {
        const { pings, silentAt } = watch(timeoutMs, Number.POSITIVE_INFINITY, 120_000);
        expect(silentAt).toBe(Number.POSITIVE_INFINITY);
        expect(pings.length).toBeGreaterThanOrEqual(12);
        pings.forEach((time, i) => {
          expect(time - (pings[i - 1] ?? 0)).toBeLessThanOrEqual(LONGEST_PAUSE_MS);
        });
      }),
    );
  });

  it("ends a silent connection after the timeout, and at most half of it or 20 s later", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 600_000 }),
        fc.integer({ min: 0, max: 100_000 }),
        (timeoutMs, diesAt) => {
          const { silentAt } = watch(timeoutMs, diesAt, 1_000_000);
          expect(silentAt - diesAt).toBeGreaterThanOrEqual(timeoutMs - LONGEST_PAUSE_MS);
          expect(silentAt - diesAt).toBeLessThanOrEqual(timeoutMs + Math.min(timeoutMs / 2, 2 * LONGEST_PAUSE_MS) + 10);
        },
      ),
    );
  });
});
