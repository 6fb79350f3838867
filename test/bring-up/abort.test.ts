/** A bring-up that ends before its time, by its signal, in whichever phase: every rank is told at once, and the place is as new. */
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { initProcessGroupOn } from "../../src/bring-up/init.ts";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { AbortedError, AdmissionError, TimeoutError, WebcclError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { createHub } from "../../src/node/hub.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import type { Platform } from "../../src/platform.ts";
import { HashStore } from "../../src/store/hash-store.ts";
import { PrefixStore } from "../../src/store/prefix-store.ts";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const RANKS = 3;
/** Most milliseconds from the signal until all ranks have met again. Timeouts are longer by far. */
const AT_ONCE_MS = 5_000;

let names = 0;

/** A platform on which nobody can tell whether a process lives. */
const BLIND: Platform = { ...nodePlatform, processId: "", processState: () => "unknown" };

interface Place extends InitOptions {
  platform?: Platform;
}

/** Where the ranks of a test meet. */
const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  "memory://": async () => ({ initMethod: `memory://abort-${names++}` }),
  "file://": async () => ({ initMethod: `file://${temporaryFolder()}/meeting` }),
  "a store": async () => ({ store: new HashStore() }),
  "a store, by ranks that cannot look at processes": async () => ({ store: new HashStore(), platform: BLIND }),
  "tcp://": async () => ({ initMethod: `tcp://127.0.0.1:${await freePort()}` }),
  "tcp:// by the hub alone": async () => ({ initMethod: `tcp://127.0.0.1:${await freePort()}`, transport: "hub" }),
  "a hub of its own": async () => {
    const hub = await createHub({ port: 0 });
    onTestFinished(() => hub.close());
    return { initMethod: `${hub.url}/abort` };
  },
};

const quiet = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

function join(
  { platform = nodePlatform, ...place }: Place,
  rank: number,
  more: InitOptions = {},
): Promise<ProcessGroup> {
  return initProcessGroupOn(platform, {
    ...place,
    rank,
    worldSize: RANKS,
    backend: "cpu",
    timeoutMs: 60_000,
    logger: quiet,
    ...more,
  });
}

/** Lets the event loop turn. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Calls a collective, and leaves the group, whatever comes of it. */
async function use(group: ProcessGroup): Promise<void> {
  try {
    const tensor = Int32Array.of(group.rank + 1);
    await group.allReduce(tensor);
    expect([...tensor]).toEqual([(RANKS * (RANKS + 1)) / 2]);
    await group.barrier();
  } finally {
    await group.destroy();
  }
}

/** All ranks meet there, and are right. */
async function expectNew(place: Place): Promise<void> {
  await Promise.all(Array.from({ length: RANKS }, async (_, rank) => use(await join(place, rank))));
}

/** Comes until a group has been right. The errors until then. */
async function comeUntilRight(place: Place, rank: number, signal?: AbortSignal): Promise<WebcclError[]> {
  const errors: WebcclError[] = [];
  for (;;) {
    try {
      await use(await join(place, rank, signal && errors.length === 0 ? { signal } : {}));
      return errors;
    } catch (error) {
      if (!(error instanceof WebcclError) || errors.length === 5) throw error;
      errors.push(error);
    }
  }
}

describe.each(Object.entries(PLACES))("initProcessGroup() at %s", (_, place) => {
  it("ends when its signal fires, whichever phase it is in; the others are told, and all meet again", async () => {
    const property = fc.asyncProperty(
      fc.oneof(fc.nat({ max: 60 }), fc.nat({ max: 1_000 })),
      fc.nat({ max: RANKS - 1 }),
      fc.boolean(),
      async (after, victim, isLastLate) => {
        const here = await place();
        const stop = new AbortController();
        let startLate = () => {};
        const late = new Promise<void>((resolve) => {
          startLate = resolve;
        });
        const coming = Array.from({ length: RANKS }, async (_, rank) => {
          if (isLastLate && rank === (victim + 1) % RANKS) await late;
          return comeUntilRight(here, rank, rank === victim ? stop.signal : undefined);
        });
        await turns(after);
        const started = performance.now();
        stop.abort(new Error("enough"));
        startLate();
        const errors = await Promise.all(coming);
        expect(performance.now() - started).toBeLessThan(AT_ONCE_MS);
        const [first] = errors[victim]!;
        // It may have been up before the signal fired.
        if (!first) return;
        expect(first).toBeInstanceOf(AbortedError);
        expect(first.message).toMatch(/aborted by its signal: enough/);
        for (const { message } of errors.flat()) {
          if (/ended the bring-up/.test(message)) expect(message).toMatch(`rank ${victim} ended the bring-up: `);
        }
      },
    );
    await fc.assert(property, { numRuns: 25, endOnFailure: true });
  }, 60_000);

  it("tells the others why a rank ends", async () => {
    const here = await place();
    const [zero, one] = await Promise.all(
      [{}, { timeoutMs: 300 }].map((more, rank) => join(here, rank, more).catch((error: WebcclError) => error)),
    );
    expect(one).toBeInstanceOf(TimeoutError);
    expect(zero).toBeInstanceOf(TimeoutError);
    expect((zero as TimeoutError).message).toMatch(/rank 1 ended the bring-up: .*missing: 2/);
    expect((zero as TimeoutError).missingRanks).toEqual([2]);
    expect((zero as TimeoutError).details.rank).toBe(1);
    await expectNew(here);
  });

  it("refuses a signal that has fired before anything is opened", async () => {
    const reason = new Error("too late");
    const refused = join(await place(), 0, { signal: AbortSignal.abort(reason) });
    await expect(refused).rejects.toThrow(AbortedError);
    await expect(refused).rejects.toMatchObject({ cause: reason });
  });

  it("works a second and a third time at the same place, with ranks that come late", async () => {
    const here = await place();
    await expectNew(here);
    const alone = join(here, 0, { timeoutMs: 300 });
    await expect(alone).rejects.toThrow(/missing: 1, 2/);
    await expectNew(here);
  });
});

describe("initProcessGroup() at a store that a rank has left without a word", () => {
  /** Nothing that is asked of it is answered any more, as where the process that asks is dead. */
  class MutableStore extends PrefixStore {
    #isMute = false;

    mute(): void {
      this.#isMute = true;
    }

    override wait(keys: readonly string[], timeoutMs?: number): Promise<void> {
      return this.#isMute ? new Promise(() => {}) : super.wait(keys, timeoutMs);
    }

    override check(keys: readonly string[]): Promise<boolean> {
      return this.#isMute ? new Promise(() => {}) : super.check(keys);
    }
  }

  const platform = BLIND;

  it("meets anew with those who wait, as the rank comes again", async () => {
    const below = new HashStore();
    const dying = new MutableStore("", below);
    const at = (store: PrefixStore) => ({ store, platform });
    void join(at(dying), 0).catch(() => {});
    const waiting = comeUntilRight(at(new PrefixStore("", below)), 1);
    await below.wait(["/default/1/roster/0", "/default/1/roster/1"], 5_000);
    dying.mute();
    const again = [0, 2].map((rank) => comeUntilRight(at(new PrefixStore("", below)), rank));
    expect(await Promise.all([waiting, ...again])).toEqual([[], [], []]);
  });

  it("refuses the one of two that are started as the same rank, and the other keeps it", async () => {
    const store = new HashStore();
    const two = [0, 0, 1, 2].map((rank) => join({ store, platform }, rank));
    const settled = await Promise.allSettled(two);
    const refused = settled.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
    expect(refused).toHaveLength(1);
    expect(refused[0]).toBeInstanceOf(AdmissionError);
    expect(refused[0].message).toMatch(/rank 0 of group "default" is already taken/);
    await Promise.all(settled.flatMap((end) => (end.status === "fulfilled" ? [use(end.value)] : [])));
  });
});

describe("a second holder of a rank", () => {
  it.each(["a store", "file://"])(
    "is refused at %s while the first one waits, and while its group is up",
    async (name) => {
      const here = await PLACES[name]!();
      const first = join(here, 0);
      await expect(join(here, 0)).rejects.toThrow(/rank 0 of group "default" is already taken: .*destroys it first/);
      const groups = await Promise.all([first, join(here, 1), join(here, 2)]);
      await expect(join(here, 1)).rejects.toThrow(AdmissionError);
      await Promise.all(groups.map(use));
      await expectNew(here);
    },
  );
});
