/** Runs one schedule in a world of its own, and notes what became of every rank. */
import { initProcessGroupOn } from "../../bring-up/init.ts";
import type { InitOptions, InternalOptions } from "../../bring-up/init-options.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import type { Logger } from "../../options.ts";
import type { HubHandle } from "../../platform.ts";
import { now, sleep } from "../../support/clock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { asError } from "../../support/thrown.ts";
import type { SimulatedExecutors } from "../executors.ts";
import { startSimulatedHub } from "../hub.ts";
import { simulatedPlatform } from "../platform.ts";
import type { SimulatedProcess } from "../simulated-process.ts";
import { textOfBytes } from "../trace.ts";
import { World } from "../world.ts";
import { elasticCalls } from "./elastic.ts";
import { Faults } from "./faults.ts";
import { drawnCalls, type Program } from "./program.ts";
import type { Fault, Schedule } from "./schedule.ts";
import { type NotedCall, watchedGroup } from "./watched-group.ts";

/** The port of the hub. */
const PORT = 29_500;
/** Within this time everything must be over, in virtual milliseconds; the longest bound is far below it. */
const HORIZON_MS = 600_000;
/** Beyond a call's timeout: the search for stragglers, and time to tell the others. */
const SLACK_MS = 2_000;
/** Beyond the timeout of an epoch change, and the time in which links that are lost are noticed. A hub is awaited for as long. */
const CHANGE_SLACK_MS = 10_000;
/** Within this time all ranks start, in milliseconds, and those that join. */
const START_MS = 30;
const JOIN_MS = 3_000;
/** Destroying a group may take the peer timeout, twice where a hub is left, and the close of connections. */
const DESTROY_SLACK_MS = 15_000;

/** A group of all ranks, by their seats. */
export interface Epoch {
  readonly epoch: number;
  /** When the rank came to it, or heard that it is over, in virtual milliseconds. */
  readonly atMs: number;
  readonly members: readonly number[];
}

/** What became of one rank. */
export interface RankOutcome {
  readonly rank: number;
  phase: "meeting" | "calling" | "leaving" | "gone";
  /** Why its bring-up or its program ended, or null. */
  error: Error | null;
  failedIn: RankOutcome["phase"] | null;
  /** Why its group is dead, as every later call tells; null if it is not, or there is none. */
  cause: Error | null;
  /** The number that it keeps through all epochs; null if it joins, and has not been let in. */
  seat: number | null;
  /** The groups of all ranks to which it came, in order. */
  readonly epochs: Epoch[];
  /** Those of which it heard that they are dead, and why. */
  readonly deaths: (Epoch & { readonly cause: Error })[];
  /** When its program or its process ended, in virtual milliseconds. */
  endedAtMs: number;
  /** Its process has ended. */
  hasDied: boolean;
  readonly calls: NotedCall[];
}

/** What became of a run. */
export interface RunResult {
  readonly schedule: Schedule;
  readonly ranks: readonly RankOutcome[];
  /** Faults that happened. */
  readonly happened: readonly Fault[];
  /** Bytes that changed on the way. */
  readonly flipped: number;
  readonly endMs: number;
  readonly events: number;
  readonly hash: string;
  readonly lines: readonly string[] | null;
  /** Bytes that must be equal: by name, what each rank told. */
  readonly told: ReadonlyMap<string, ReadonlyMap<number, string>>;
  /** What was thrown where nobody could catch it. */
  readonly thrown: readonly string[];
  /** Groups that were not dead when the next epoch began on their rank. */
  readonly alive: readonly string[];
  /** What was left open when all was over. */
  readonly left: readonly string[];
  /** Ends of connections that were lost without a close, and that nobody noticed in time. */
  readonly unnoticed: readonly string[];
  /** The most bytes that one process had in its connections and its hub. */
  readonly mostBytes: number;
}

/** A run of `schedule`. Its ranks run `program`, or the calls that the schedule draws. */
export async function runSchedule(
  schedule: Schedule,
  executors: SimulatedExecutors,
  { program, keepsLines = false }: { program?: Program; keepsLines?: boolean } = {},
): Promise<RunResult> {
  await executors.prepare(schedule.ranks + (schedule.joins ?? 0));
  return new Run(schedule, executors, program, keepsLines).run();
}

class Run {
  readonly #schedule: Schedule;
  readonly #program: Program;
  readonly #world: World;
  readonly #faults: Faults;
  readonly #outcomes: RankOutcome[];
  readonly #told = new Map<string, Map<number, string>>();
  readonly #thrown: string[] = [];
  readonly #alive: string[] = [];
  readonly #started = new Set<number>();
  /** Those that join do so when the program calls them. */
  readonly #callsJoiners: boolean;
  #hub: HubHandle | null = null;
  #mostBytes = 0;
  #isOver = false;

  constructor(schedule: Schedule, executors: SimulatedExecutors, program: Program | undefined, keepsLines: boolean) {
    this.#schedule = schedule;
    const { seed, latencyMs, calls, joins, isOneMachine = false } = schedule;
    this.#program = program ?? (joins === undefined ? drawnCalls(calls) : elasticCalls(seed, calls));
    this.#callsJoiners = program !== undefined;
    const ranks = schedule.ranks + (joins ?? 0);
    this.#world = new World({
      ...{ seed, ranks, latencyMs, executors, isOneMachine, keepsLines },
      onDeliver: (process) => this.#onDeliver(process),
      onThrown: (error, process) => {
        this.#thrown.push(`${process?.name ?? "world"}: ${asError(error).stack}`);
      },
    });
    this.#outcomes = Array.from({ length: ranks }, (_, rank) => ({
      ...{ rank, phase: "meeting", error: null, failedIn: null, cause: null, hasDied: false, calls: [] },
      ...{ seat: rank < schedule.ranks ? rank : null, epochs: [], deaths: [], endedAtMs: Number.POSITIVE_INFINITY },
    }));
    this.#faults = new Faults(this.#world, schedule, (afterMs) => void this.#restartHub(afterMs));
  }

  async run(): Promise<RunResult> {
    const { clock, ranks, hub, trace } = this.#world;
    const { topology } = this.#schedule;
    if (topology !== "hosted" && topology !== "memory")
      clock.schedule(hub, 0, "start", "", () => void this.#startHub());
    for (const rank of ranks.keys()) {
      if (!this.#joins(rank)) this.#start(rank, START_MS);
      else if (!this.#callsJoiners) this.#start(rank, JOIN_MS);
    }
    const used = this.#usedBytes();
    await clock.run(HORIZON_MS, () => this.#areAllGone());
    const endMs = clock.time;
    this.#isOver = this.#areAllGone();
    if (this.#hub) clock.schedule(hub, clock.time, "close", "", () => void this.#hub?.close());
    await clock.run(endMs + HORIZON_MS);
    const left = this.#left(used);
    for (const { rank, phase, error } of this.#outcomes)
      trace.add(endMs, `rank ${rank}`, phase, error?.message ?? "well");
    return {
      ...{ schedule: this.#schedule, ranks: this.#outcomes, happened: this.#faults.happened, endMs, told: this.#told },
      ...{ events: clock.count, hash: trace.hash, lines: trace.lines, thrown: this.#thrown, left, alive: this.#alive },
      ...{ flipped: this.#flipped(), mostBytes: this.#mostBytes, unnoticed: this.#unnoticed() },
    };
  }

  /** Starts a rank within `limitMs`, once. */
  #start(rank: number, limitMs: number): void {
    const { clock, ranks } = this.#world;
    if (this.#started.has(rank)) return;
    this.#started.add(rank);
    const process = ranks[rank]!;
    const home = this.#schedule.topology === "memory" ? ranks[0]! : process;
    const time = clock.time + (limitMs > 0 ? home.random.below(limitMs) : 0);
    clock.schedule(home, time, "start", String(rank), () => void this.#live(rank, process));
  }

  #onDeliver(process: SimulatedProcess): boolean {
    const hasEnded = !this.#isOver && this.#faults.onDeliver(process);
    if (process.events % 16 === 0) this.#mostBytes = Math.max(this.#mostBytes, this.#heldBytes(process));
    return hasEnded;
  }

  #heldBytes(process: SimulatedProcess): number {
    return this.#world.network.heldBytes(process) + (this.#world.hubs.get(process)?.stats.bytesInFlight ?? 0);
  }

  async #startHub(): Promise<void> {
    const { peerTimeoutMs } = this.#schedule;
    const options = { port: PORT, silenceMs: peerTimeoutMs, slowReaderMs: peerTimeoutMs };
    this.#hub = await startSimulatedHub(this.#world, this.#world.hub, options);
  }

  async #restartHub(afterMs: number): Promise<void> {
    const { clock, network, ranks, hub } = this.#world;
    const ended = this.#hub;
    this.#hub = null;
    if (!ended) return;
    for (const rank of ranks) network.cut(rank, hub);
    await ended.close();
    clock.schedule(hub, clock.time + afterMs, "start", "", () => void (this.#isOver || this.#startHub()));
  }

  /** The life of one rank. */
  async #live(rank: number, process: SimulatedProcess): Promise<void> {
    const outcome = this.#outcomes[rank]!;
    const { seed, leaves } = this.#schedule;
    const watch = {
      ...{ rank, calls: outcome.calls },
      limitMs: (name: string, timeoutMs: number | undefined) => this.#limitMs(name, timeoutMs),
    };
    const random = new SeededRandom(seed, "program");
    let group: ProcessGroup | null = null;
    try {
      const canListen = this.#canListen(rank);
      const made = await this.#noted(outcome, "initProcessGroup", 0, () =>
        initProcessGroupOn(simulatedPlatform(this.#world, process, canListen), this.#optionsOf(rank, process)),
      );
      group = watchedGroup(made, watch);
      outcome.phase = "calling";
      outcome.epochs.push(epochOf(group));
      outcome.seat = group.globalRanks[group.rank]!;
      const tell = (name: string, bytes: ArrayBufferView) => this.#tell(name, rank, bytes);
      await this.#program(group, rank, random, tell, {
        onFailure: (failed) => this.#noteDeath(outcome, failed),
        onEpoch: async (next, before) => {
          group = next;
          outcome.epochs.push(epochOf(next));
          if (!(await causeOf(before))) this.#alive.push(`rank ${rank}: that of epoch ${before.epoch}`);
        },
        end: () => {
          this.#faults.begin({ kind: "crash", where: process.name, event: process.events, ending: "exit" });
          return new Promise(() => {});
        },
        call: (other) => this.#start(other, 0),
      });
    } catch (error) {
      outcome.error = asError(error);
      outcome.failedIn = outcome.phase;
      if (group && (await this.#noteDeath(outcome, group))) outcome.cause = outcome.deaths.at(-1)!.cause;
    }
    if (outcome.error && leaves === "exit") {
      this.#world.network.end(process, "exit");
      outcome.phase = "gone";
      return;
    }
    if (group) {
      outcome.phase = "leaving";
      if (outcome.error) await sleep(process.random.pick([0, 5, 500]));
      await group.destroy();
    }
    outcome.phase = "gone";
  }

  /** Is it one of those that join later? */
  #joins(rank: number): boolean {
    return rank >= this.#schedule.ranks;
  }

  /** Notes why `group` is dead, if it is. */
  async #noteDeath({ deaths }: RankOutcome, group: ProcessGroup): Promise<boolean> {
    const cause = await causeOf(group);
    const isNoted = deaths.some(({ epoch }) => epoch === group.epoch);
    if (cause && !isNoted) deaths.push({ ...epochOf(group), cause });
    return cause !== null;
  }

  /** A promise that must end as the calls of a group must. */
  async #noted<T>(outcome: RankOutcome, name: string, extraMs: number, start: () => Promise<T>): Promise<T> {
    const { rank, calls } = outcome;
    const limitMs = this.#limitMs(name, undefined) + extraMs;
    const call: NotedCall = { rank, name, group: "", startedAt: now(), limitMs, endedAt: null, error: null };
    calls.push(call);
    try {
      return await start();
    } catch (error) {
      call.error = asError(error);
      throw error;
    } finally {
      call.endedAt = now();
    }
  }

  #limitMs(name: string, timeoutMs: number | undefined): number {
    const { peerTimeoutMs } = this.#schedule;
    if (name === "destroy") return 2 * peerTimeoutMs + DESTROY_SLACK_MS;
    const limitMs = (timeoutMs ?? this.#schedule.timeoutMs) + SLACK_MS;
    if (name === "shrink" || name === "admit") {
      // A hub that no rank hosts may be started again.
      const graceMs = this.#schedule.topology === "hosted" ? 0 : Math.min(limitMs, CHANGE_SLACK_MS);
      return limitMs - SLACK_MS + CHANGE_SLACK_MS + 2 * peerTimeoutMs + graceMs;
    }
    // It has several steps, each of which has the timeout.
    return name === "initProcessGroup" ? 4 * limitMs : limitMs;
  }

  #canListen(rank: number): boolean {
    const { topology, ranks } = this.#schedule;
    if (topology === "tabs") return false;
    return topology !== "mixed" || rank < ranks / 2;
  }

  #optionsOf(rank: number, process: SimulatedProcess): InitOptions & InternalOptions {
    const { topology, ranks: worldSize, timeoutMs, peerTimeoutMs } = this.#schedule;
    const { ranks, hub, executors } = this.#world;
    const common = {
      ...(this.#joins(rank) ? { join: true } : { rank, worldSize }),
      ...{ timeoutMs, peerTimeoutMs, backend: "cpu" as const },
      ...{ executor: executors.of(rank).executor, logger: this.#loggerOf(process) },
    };
    if (topology === "memory") {
      const delay = new SeededRandom(this.#schedule.seed, "memory");
      const gate = () => (delay.below(4) === 0 ? sleep(delay.below(30)) : undefined);
      return { ...common, initMethod: "memory://simulated", memory: { gate } };
    }
    const listen = { host: process.host, insecure: true };
    const host = topology === "hosted" ? ranks[0]!.host : hub.host;
    return { ...common, listen, initMethod: `${topology === "hosted" ? "tcp" : "ws"}://${host}:${PORT}` };
  }

  #loggerOf(process: SimulatedProcess): Logger {
    const { trace, clock } = this.#world;
    const say = (level: string) => (message: string) => trace.add(clock.time, process.name, level, message);
    return { error: say("error"), warn: say("warn"), info: say("info"), debug: say("debug") };
  }

  #tell(name: string, rank: number, bytes: ArrayBufferView): void {
    const all = this.#told.get(name) ?? new Map<number, string>();
    all.set(rank, textOfAll(bytes));
    this.#told.set(name, all);
  }

  #areAllGone(): boolean {
    const { ranks, clock } = this.#world;
    for (const outcome of this.#outcomes) {
      if (ranks[outcome.rank]!.ended && outcome.phase !== "gone") outcome.hasDied = true;
      if (outcome.hasDied || outcome.phase === "leaving" || outcome.phase === "gone")
        outcome.endedAtMs = Math.min(outcome.endedAtMs, clock.time);
    }
    return this.#outcomes.every(({ phase, hasDied }) => hasDied || phase === "gone");
  }

  #usedBytes(): number[] {
    const { ranks, executors } = this.#world;
    return [...ranks.map((_, rank) => executors.of(rank).heap.usedBytes), executors.hub.heap.usedBytes];
  }

  /** What nobody has given back. */
  #left(before: readonly number[]): string[] {
    const { clock, network, ranks, hub, executors } = this.#world;
    const { ports, connections } = network.open();
    const left = [...ports, ...connections];
    for (const { process, kind, detail } of clock.pending())
      left.push(`${process?.name ?? "world"}: ${kind} ${detail}`);
    const after = this.#usedBytes();
    for (const [place, process] of [...ranks, hub].entries()) {
      if (process.ended) continue;
      if (after[place] !== before[place]) left.push(`${process.name}: ${after[place]! - before[place]!} B of scratch`);
    }
    if (after.some((bytes, place) => bytes !== before[place])) executors.forget();
    return left;
  }

  /** Of those that can tell. A tab's browser cannot; and where it is heard still, the hub has no reason to. */
  #unnoticed(): string[] {
    const isHeard = this.#faults.happened.some((fault) => fault.kind === "half-open" && !fault.both);
    const isTab = (end: string) =>
      this.#outcomes.some(
        ({ rank }) =>
          !this.#canListen(rank) && (end.startsWith(`rank ${rank} `) || (isHeard && end.endsWith(` rank ${rank}`))),
      );
    return this.#world.network.unnoticed.filter((end) => !isTab(end));
  }

  #flipped(): number {
    const { ranks, hub, network } = this.#world;
    const all = [...ranks, hub];
    return all.reduce((sum, from) => sum + all.reduce((part, to) => part + network.wire(from, to).flipped, 0), 0);
  }
}

function epochOf({ epoch, globalRanks }: ProcessGroup): Epoch {
  return { epoch, members: globalRanks, atMs: now() };
}

/**
 * Why a group is dead, or null. It is asked by a message that is refused on this rank: a call that others had to make as well would
 * be a mismatch on those whose group lives, because what has failed here was a part of it.
 */
async function causeOf(group: ProcessGroup): Promise<Error | null> {
  // Nobody else has to make it.
  if (group.size === 1) return group.barrier().then(() => null, asError);
  const reason = new Error("this rank asks whether its group is dead");
  const asked = group.recv(new Uint8Array(1), (group.rank + 1) % group.size, { signal: AbortSignal.abort(reason) });
  const error = asError(await asked.then(() => reason, asError));
  return error.cause === reason ? null : error;
}

function textOfAll({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${textOfBytes(bytes)} ${hash >>> 0}`;
}
