import { describe, expect, it } from "vitest";
import { AbortedError, TimeoutError, UnsupportedError } from "../../src/errors.ts";
import { Work } from "../../src/group/work.ts";
import type { Logger } from "../../src/options.ts";

const options = { opType: "ALLREDUCE", sequence: 7 } as const;

function recordingLogger(): { logger: Logger; errors: unknown[][] } {
  const errors: unknown[][] = [];
  const ignore = () => {};
  return { logger: { error: (...args) => errors.push(args), warn: ignore, info: ignore, debug: ignore }, errors };
}

/** Lets timers of 0 ms that are already set fire. */
const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("Work", () => {
  it("is a promise of its value", async () => {
    const { work, fulfill } = Work.pending<number>(options);
    expect(work.isCompleted()).toBe(false);
    expect(() => work.result()).toThrow(/still running/);
    fulfill(3);
    expect(await work).toBe(3);
    expect(await work.then((value) => value + 1)).toBe(4);
    expect(await Promise.all([work, work])).toEqual([3, 3]);
    expect(work.isCompleted()).toBe(true);
    expect(work.isSuccess()).toBe(true);
    expect(work.result()).toBe(3);
    expect(work.exception()).toBeNull();
  });

  it("can be awaited before and after it settles", async () => {
    const { work, fulfill } = Work.pending<string>(options);
    const early = work.then((value) => `early ${value}`);
    fulfill("x");
    expect(await early).toBe("early x");
    expect(await work).toBe("x");
  });

  it("settles once: what comes later changes nothing", async () => {
    const { work, fulfill, reject } = Work.pending<number>(options);
    fulfill(1);
    fulfill(2);
    reject(new Error("late"));
    expect(await work).toBe(1);
    expect(work.exception()).toBeNull();
  });

  it("gives its error by every way of asking", async () => {
    const { work, reject } = Work.pending<void>(options);
    const error = new AbortedError("gone");
    reject(error);
    await expect(work).rejects.toBe(error);
    await expect(work.wait()).rejects.toBe(error);
    expect(work.exception()).toBe(error);
    expect(() => work.result()).toThrow(error);
    expect(work.isSuccess()).toBe(false);
    expect(await work.catch((caught) => caught)).toBe(error);
  });

  it("finally() runs and passes the outcome on", async () => {
    const { work, fulfill } = Work.pending<number>(options);
    let ran = 0;
    const chained = work.finally(() => ran++);
    fulfill(5);
    expect(await chained).toBe(5);
    expect(ran).toBe(1);
  });

  it("wait(timeoutMs) rejects that wait alone", async () => {
    const { work, fulfill } = Work.pending<number>(options);
    await expect(work.wait(5)).rejects.toBeInstanceOf(TimeoutError);
    expect(work.isCompleted()).toBe(false);
    fulfill(9);
    expect(await work.wait(1000)).toBe(9);
  });

  it("futureResult() names the outcome and never rejects", async () => {
    const outcome = async (error: Error | null) => {
      const { work, fulfill, reject } = Work.pending<void>(options);
      if (error) reject(error);
      else fulfill();
      return work.futureResult();
    };
    expect(await outcome(null)).toBe("success");
    expect(await outcome(new TimeoutError("slow"))).toBe("timeout");
    expect(await outcome(new AbortedError("gone"))).toBe("comm-error");
    expect(await outcome(new UnsupportedError("no"))).toBe("unknown");
    expect(await outcome(new TypeError("odd"))).toBe("unknown");
  });

  it("reports a failure nobody looked at, once", async () => {
    const { logger, errors } = recordingLogger();
    const { work, reject } = Work.pending<void>({ ...options, logger });
    reject(new AbortedError("unseen"));
    await nextTurn();
    await nextTurn();
    expect(errors).toHaveLength(1);
    expect(String(errors[0]![0])).toContain("ALLREDUCE 7");
    expect(work.exception()?.message).toBe("unseen");
  });

  it("does not report a failure that someone looks at in time", async () => {
    const { logger, errors } = recordingLogger();
    const { work, reject } = Work.pending<void>({ ...options, logger });
    reject(new AbortedError("seen"));
    await work.catch(() => {});
    await nextTurn();
    expect(errors).toHaveLength(0);
  });

  it("abort() asks whoever made it, and only while it runs", () => {
    const reasons: unknown[] = [];
    const { work, fulfill } = Work.pending<void>({ ...options, onAbort: (reason) => reasons.push(reason) });
    work.abort();
    fulfill();
    work.abort();
    expect(reasons).toHaveLength(1);
  });

  it("done() has ended well, and counts from the call", async () => {
    const started = performance.now() - 5;
    const work = Work.done({ ...options, started }, 3);
    expect([work.isCompleted(), work.isSuccess(), work.result()]).toEqual([true, true, 3]);
    expect(work.durationMs()).toBe(work.info().activeDurationMs);
    expect(work.durationMs()).toBeGreaterThanOrEqual(5);
    expect(await work).toBe(3);
    expect(await work.futureResult()).toBe("success");
  });

  it("info() has c10d's fields", async () => {
    const { work, fulfill } = Work.pending<void>(options);
    fulfill();
    await work;
    const info = work.info();
    expect(info).toMatchObject({ opType: "ALLREDUCE", sequence: 7 });
    // Times of day have fewer digits than times of the process.
    expect(info.timeFinished - info.timeStarted).toBeCloseTo(info.activeDurationMs, 2);
    expect(Math.abs(info.timeStarted - Date.now())).toBeLessThan(1_000);
    expect(work.durationMs()).toBe(info.activeDurationMs);
  });

  it("info() leaves out the time that the call waited for others", async () => {
    const started = performance.now() - 50;
    const { work, fulfill } = Work.pending<void>({ ...options, started, began: () => started + 40 });
    fulfill();
    const info = work.info();
    expect(info.activeDurationMs).toBeCloseTo(work.durationMs() - 40, 6);
    expect(info.timeFinished - info.timeStarted).toBeGreaterThanOrEqual(49);
  });

  it("future() gives the call's tensors, or its error", async () => {
    const tensor = Float32Array.of(1);
    const { work, fulfill } = Work.pending<void>({ ...options, tensors: () => [tensor] });
    const future = work.future();
    fulfill();
    expect(await future).toEqual([tensor]);
    expect((await work.future())[0]).toBe(tensor);
    const failing = Work.pending<void>(options);
    failing.reject(new AbortedError("gone"));
    await expect(failing.work.future()).rejects.toThrow("gone");
    expect(await Work.fromPromise(Promise.resolve(1)).future()).toEqual([]);
  });

  it("sourceRank() is the sender, of receives alone", async () => {
    const { work, fulfill } = Work.pending<number>({ opType: "RECV", sequence: 1 });
    expect(() => work.sourceRank()).toThrow(/still running/);
    fulfill(3);
    expect(work.sourceRank()).toBe(3);
    expect(() => Work.done(options, 3).sourceRank()).toThrow(/recv and recvAnySource, and this is ALLREDUCE 7/);
  });

  it("abort() of a Work that cannot be aborted says so, while it runs", () => {
    const { work, fulfill } = Work.pending<void>(options);
    expect(() => work.abort()).toThrow(UnsupportedError);
    expect(() => Work.fromPromise(new Promise(() => {})).abort()).toThrow(/give onAbort/);
    fulfill();
    work.abort();
  });

  it("a subclass ends as the first promise of its wait(), and may have tensors", async () => {
    const tensor = Int32Array.of(5);
    let waits = 0;
    class Own extends Work<string> {
      override async wait(): Promise<string> {
        waits++;
        return "done";
      }
      override async future() {
        return [tensor];
      }
    }
    const work = new Own();
    expect([work.opType, work.isCompleted()]).toEqual(["UNKNOWN", false]);
    expect(await work).toBe("done");
    expect(await work.then((value) => value.length)).toBe(4);
    expect([work.isSuccess(), work.result(), waits]).toEqual([true, "done", 1]);
    expect(await work.future()).toEqual([tensor]);
    class Failing extends Work<void> {
      override async wait(): Promise<void> {
        throw new AbortedError("mine");
      }
    }
    const failing = new Failing();
    await expect(failing).rejects.toThrow("mine");
    expect(failing.exception()?.message).toBe("mine");
    expect(await failing.futureResult()).toBe("comm-error");
  });

  it("fromPromise() ends as the promise does", async () => {
    expect(await Work.fromPromise(Promise.resolve(4))).toBe(4);
    await expect(Work.fromPromise(Promise.reject(new Error("no")))).rejects.toThrow("no");
  });
});
