/**
 * Groups of three ranks over real connections, in each of which one byte changes on its way. Every call of every rank must
 * end with the exact result or with an error.
 */
import { setImmediate } from "node:timers/promises";
import { initProcessGroupOn } from "../../src/bring-up/init.ts";
import { WebcclError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { startHub } from "../../src/node/hub.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import type { Logger } from "../../src/options.ts";
import { HashStore } from "../../src/store/hash-store.ts";
import { SeededRandom } from "../../src/testing/index.ts";
import { type Crossed, type Flip, FlippingProxy } from "./flipping-proxy.ts";

const SIZE = 3;
/** Milliseconds for bring-up and for each call. */
const TIMEOUT_MS = 3_000;
/** A rank that has not ended after so many milliseconds hangs. */
const HANG_MS = 30_000;

/** Turns of the event loop that a byte takes at most from the proxy to where it is looked at. */
const TURNS = 20;
/** Most flips are behind these first bytes of a connection. */
const HANDSHAKE_BYTES = 250;

/** How the ranks are joined. Over "direct" both links of rank 0 cross the proxy, over "hub" each rank's connection to the hub. */
export const WAYS = ["direct", "hub"] as const;
export type Way = (typeof WAYS)[number];

/** What came of one group. */
export interface Outcome {
  /** The byte crossed before the calls of all ranks had ended: else nothing was tried. */
  readonly flipped: boolean;
  /** Results that are neither exact nor an error. */
  readonly wrong: readonly string[];
  /** Codes of the errors of bring-up and calls, by rank; null where all went well. */
  readonly codes: readonly (string | null)[];
  /** Messages of the errors. */
  readonly messages: readonly string[];
  /** Did some rank report that bytes had changed, or that a connection ended? */
  readonly noticed: boolean;
  readonly crossed: readonly Crossed[];
}

/** Everything that the groups of one run share. */
export class FlipRun {
  readonly #proxy: FlippingProxy;
  readonly #hub: Awaited<ReturnType<typeof startHub>>;
  readonly #logger: Logger;
  /** How often ranks and hub have logged that something is wrong. */
  readonly #notices: { count: number };
  #groups = 0;

  private constructor(
    proxy: FlippingProxy,
    hub: Awaited<ReturnType<typeof startHub>>,
    logger: Logger,
    notices: { count: number },
  ) {
    this.#proxy = proxy;
    this.#hub = hub;
    this.#logger = logger;
    this.#notices = notices;
  }

  static async open(): Promise<FlipRun> {
    const notices = { count: 0 };
    const notice = () => {
      notices.count += 1;
    };
    const logger = { debug: notice, info: () => {}, warn: notice, error: notice };
    return new FlipRun(await FlippingProxy.open(), await startHub({ port: 0, logger }), logger, notices);
  }

  async close(): Promise<void> {
    this.#proxy.close();
    await this.#hub.close();
  }

  /** One group, on whose way `flip` happens. */
  async group(
    way: Way,
    elements: number,
    flip: Flip | null,
    wishOf: (rank: number) => "on" | "off" = () => "on",
  ): Promise<Outcome> {
    const number = this.#groups++;
    const proxy = this.#proxy;
    proxy.reset(flip);
    if (way === "hub") proxy.target = this.#hub.port;
    const store = new HashStore();
    const wrong: string[] = [];
    const messages: string[] = [];
    const noticesBefore = this.#notices.count;
    /** Rank 0's port is behind the proxy. */
    const behindProxy = {
      ...nodePlatform,
      listen: async (...args: Parameters<typeof nodePlatform.listen>) => {
        const listener = await nodePlatform.listen(...args);
        proxy.target = listener.port;
        return listener;
      },
    };
    const common = { worldSize: SIZE, backend: "cpu", timeoutMs: TIMEOUT_MS, logger: this.#logger } as const;
    const options = {
      direct: { store, groupName: `flip-${number}`, transport: "websocket" },
      hub: { initMethod: `${proxy.url}/flip-${number}`, transport: "hub" },
    } as const;
    let flipped = false;
    let crossed: readonly Crossed[] = [];
    const calls = new Meeting(SIZE, async () => {
      // Whatever crosses from here on can spoil no result; what has crossed comes in these turns.
      flipped = proxy.flipped;
      crossed = proxy.crossed.map((one) => ({ ...one }));
      for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    });
    const runRank = async (rank: number): Promise<string | null> => {
      const isBehind = way === "direct" && rank === 0;
      const listen = isBehind ? { advertise: new URL(proxy.url).host } : {};
      let group: ProcessGroup | null = null;
      let code: string | null = null;
      try {
        const platform = isBehind ? behindProxy : nodePlatform;
        group = await initProcessGroupOn(platform, {
          ...{ ...common, ...options[way], rank, listen },
          integrity: wishOf(rank),
        });
        wrong.push(...(await callAll(group, rank, elements)));
      } catch (error) {
        messages.push(`rank ${rank}: ${error}`);
        if (!(error instanceof WebcclError))
          wrong.push(`rank ${rank}: ${error instanceof Error ? error.stack : error}`);
        code = error instanceof WebcclError ? error.code : "?";
      }
      await calls.ended();
      await group?.destroy().catch((error: unknown) => wrong.push(`destroy: ${error}`));
      return code;
    };
    const ranks = Array.from({ length: SIZE }, (_, rank) => inTime(runRank(rank), `rank ${rank}`));
    const codes = await Promise.all(ranks).catch((error: Error) => {
      wrong.push(error.message);
      return [];
    });
    return {
      flipped,
      wrong,
      codes,
      messages,
      noticed: this.#notices.count > noticesBefore,
      crossed,
    };
  }
}

/** Where ranks wait until the calls of all have ended, and what is to be done then is done. */
class Meeting {
  readonly #size: number;
  readonly #then: () => Promise<void>;
  readonly #all: Promise<void>;
  #open = () => {};
  #come = 0;

  constructor(size: number, then: () => Promise<void>) {
    this.#size = size;
    this.#then = then;
    this.#all = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  ended(): Promise<void> {
    this.#come += 1;
    if (this.#come === this.#size) void this.#then().then(this.#open);
    return this.#all;
  }
}

/** Calls of every kind of message. Returns which results are wrong. */
async function callAll(group: ProcessGroup, rank: number, elements: number): Promise<string[]> {
  const wrong: string[] = [];
  const check = (name: string, data: ArrayLike<number>, expected: (i: number) => number) => {
    for (let i = 0; i < data.length; i++) {
      if (data[i] === expected(i)) continue;
      wrong.push(`${name}, rank ${rank}, element ${i}: ${data[i]} where ${expected(i)} is right`);
      return;
    }
  };
  const own = (i: number) => (rank + 1) * 1_000 + (i % 500);
  const sum = Float32Array.from({ length: elements }, (_, i) => own(i));
  await group.allReduce(sum);
  check("allReduce", sum, (i) => 6_000 + 3 * (i % 500));
  const shown = Int32Array.from({ length: elements }, (_, i) => (rank === 1 ? i * 3 : -1));
  await group.broadcast(shown, { root: 1 });
  check("broadcast", shown, (i) => i * 3);
  const all = Array.from({ length: SIZE }, () => new Int32Array(elements));
  await group.allGather(
    all,
    Int32Array.from({ length: elements }, (_, i) => own(i)),
  );
  for (const [from, part] of all.entries()) check("allGather", part, (i) => (from + 1) * 1_000 + (i % 500));
  const message = Int32Array.from({ length: elements }, (_, i) => rank * 7 + i);
  const got = new Int32Array(elements);
  const sent = group.send(message, (rank + 1) % SIZE);
  await Promise.all([sent, group.recv(got, (rank + SIZE - 1) % SIZE)]);
  check("recv", got, (i) => ((rank + SIZE - 1) % SIZE) * 7 + i);
  await group.barrier();
  return wrong;
}

/** The bytes that cross where nothing changes. */
async function measure(run: FlipRun, way: Way, elements: number): Promise<readonly Crossed[]> {
  const { crossed, wrong, messages } = await run.group(way, elements, null);
  if (wrong.length > 0 || messages.length > 0) throw new Error(`without a flip: ${[...wrong, ...messages].join("; ")}`);
  return crossed;
}

function inTime<T>(promise: Promise<T>, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} hangs`)), HANG_MS);
  });
  return Promise.race([promise, hang]).finally(() => clearTimeout(timer));
}

/** How the flips of a run ended. */
export interface Tally {
  flips: number;
  /**
   * By the code of the first rank's error. If all calls ended well: "late" where the change was noticed nevertheless,
   * "handshake" where it was to a part of the handshake on which nothing hangs, else "unnoticed".
   */
  ends: Record<string, number>;
  /** The first flip of each end, with the errors. */
  examples: Record<string, string>;
  /** What must not be, each with its flip. */
  faults: string[];
}

/**
 * Tries `count` flips, one after the other: `seed` draws the way, the length of the tensors, the connection, the direction,
 * the byte and its new value. Errors that nobody awaits count as faults.
 */
export async function tryFlips(count: number, seed: number, onFlip: (tally: Tally) => void = () => {}): Promise<Tally> {
  const random = new SeededRandom(seed);
  const run = await FlipRun.open();
  const tally: Tally = { flips: 0, ends: {}, examples: {}, faults: [] };
  const stray = (error: unknown) =>
    tally.faults.push(`outside a Work: ${error instanceof Error ? error.stack : error}`);
  process.on("unhandledRejection", stray);
  process.on("uncaughtException", stray);
  const lengths = new Map<string, readonly Crossed[]>();
  try {
    while (tally.flips < count) {
      const way = WAYS[random.below(WAYS.length)]!;
      const elements = [1, 16, 300, 5_000][random.below(4)]!;
      const kind = `${way} ${elements}`;
      const crossed = lengths.get(kind) ?? (await measure(run, way, elements));
      lengths.set(kind, crossed);
      const connection = random.below(crossed.length);
      const direction = random.below(2) === 0 ? "up" : "down";
      const length = crossed[connection]![direction];
      const first = random.below(20) === 0 ? 0 : Math.min(HANDSHAKE_BYTES, length - 1);
      const at = first + random.below(length - first);
      const flip: Flip = { connection, direction, at, change: 1 + random.below(255) };
      const outcome = await run.group(way, elements, flip);
      if (!outcome.flipped) continue;
      tally.flips += 1;
      const code = outcome.codes.find((one) => one !== null);
      const end = code ?? (outcome.noticed ? "late" : at < HANDSHAKE_BYTES ? "handshake" : "unnoticed");
      tally.ends[end] = (tally.ends[end] ?? 0) + 1;
      const where = `${kind} ${JSON.stringify(flip)}`;
      tally.examples[end] ??= [where, ...outcome.messages].join("\n  ");
      for (const fault of outcome.wrong) tally.faults.push(`${where}: ${fault}`);
      onFlip(tally);
    }
  } finally {
    process.off("unhandledRejection", stray);
    process.off("uncaughtException", stray);
    await run.close();
  }
  return tally;
}
