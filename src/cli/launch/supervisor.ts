/**
 * Sees to it that the ranks of a launch end together.
 *
 * The first rank that ends badly decides the result. The others are given SURVIVOR_GRACE_MS to report their
 * PeerLostError, then SIGTERM, and KILL_GRACE_MS later SIGKILL; where survivors go on, the launcher waits for them instead.
 * SIGINT, SIGTERM and SIGHUP to the launcher end the ranks the same way, without the first wait; a launcher that dies itself
 * takes them along (orphan.ts).
 */
import { constants } from "node:os";
import type { Rank } from "./ranks.ts";

/** How long the others have after the first rank that ended badly. */
export const SURVIVOR_GRACE_MS = 2_000;
const KILL_GRACE_MS = 3_000;

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** How one rank ended: one of the two is null. */
export interface RankEnd {
  rank: number;
  /** What people call it. */
  name: string;
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** How the job ended. */
export interface LaunchResult {
  /**
   * 0, or the first failed rank's code, or 128 plus the number of the signal that ended it or the launcher. Where survivors go on it
   * is 0 if any rank ended well.
   */
  exitCode: number;
  /** The first rank that ended badly, or null. */
  failure: RankEnd | null;
  /** Every rank, in the order in which they ended. */
  ends: readonly RankEnd[];
  /** The ranks that the launcher ended because another one had ended badly. */
  terminated: readonly number[];
  /** The signal that told the launcher to stop, or null. */
  stoppedBy: NodeJS.Signals | null;
}

/** The ranks of a launch. */
export interface Supervised {
  /** So many will be added. */
  readonly count: number;
  /** Gets the result when none is left. */
  onEnded(result: LaunchResult): void;
  nameOf(rank: number): string;
  /** Has the job ranks on other hosts, which a rank that is started again may join? */
  readonly hasOthers: boolean;
  /** Ranks that end badly are started again, this often in all. */
  readonly mostRestarts: number;
  /** Starts a rank again; `restarts` counts all of them so far. */
  restart(rank: number, restarts: number): void;
  /** Do the others go on after a rank has ended badly? */
  readonly survivorsGoOn: boolean;
}

/** Holds the ranks of one launch, and listens to the launcher's signals, until the last rank has ended. */
export class Supervisor {
  readonly #ranks = new Map<number, Rank>();
  readonly #ends: RankEnd[] = [];
  readonly #options: Supervised;
  #failure: RankEnd | null = null;
  #stoppedBy: NodeJS.Signals | null = null;
  #terminated: readonly number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #restarted = 0;

  constructor(options: Supervised) {
    this.#options = options;
    for (const signal of STOP_SIGNALS) process.on(signal, this.#stop);
    process.on("exit", this.#killAll);
    process.stdout.on("error", this.#brokenPipe);
    expectListeners(options.count);
  }

  /** Adds a rank that was started. */
  add(rank: number, running: Rank): void {
    this.#ranks.set(rank, running);
    running.onEnd((code, signal) => this.#end({ rank, name: this.#options.nameOf(rank), code, signal }));
  }

  #end(end: RankEnd): void {
    if (!this.#ranks.delete(end.rank)) return;
    if (end.code !== 0 && this.#mayRestart()) {
      this.#restarted++;
      process.stderr.write(`webccl run: ${describeEnd(end)}, and is started again\n`);
      this.#options.restart(end.rank, this.#restarted);
      return;
    }
    this.#ends.push(end);
    if (end.code !== 0) this.#endedBadly(end);
    if (this.#ranks.size === 0) this.#finish();
  }

  /** The survivors are ended after the first such end, or go on after each. */
  #endedBadly(end: RankEnd): void {
    const isFirst = this.#failure === null;
    this.#failure ??= end;
    if (this.#stoppedBy || this.#ranks.size === 0) return;
    if (this.#options.survivorsGoOn) process.stderr.write(`webccl run: ${describeEnd(end)}, and the others go on\n`);
    else if (isFirst) this.#timer = setTimeout(this.#endSurvivors, SURVIVOR_GRACE_MS);
  }

  /** Is there a restart left, and a group to join? */
  #mayRestart(): boolean {
    const isJoinable = this.#ranks.size > 0 || this.#options.hasOthers;
    return this.#restarted < this.#options.mostRestarts && !this.#failure && !this.#stoppedBy && isJoinable;
  }

  #finish(): void {
    clearTimeout(this.#timer);
    for (const signal of STOP_SIGNALS) process.off(signal, this.#stop);
    process.off("exit", this.#killAll);
    process.stdout.off("error", this.#brokenPipe);
    expectListeners(-this.#options.count);
    const [failure, terminated, stoppedBy] = [this.#failure, this.#terminated, this.#stoppedBy];
    const isSurvived = this.#options.survivorsGoOn && !stoppedBy && this.#ends.some(({ code }) => code === 0);
    const code = isSurvived ? 0 : exitCode(stoppedBy, failure);
    this.#options.onEnded({ exitCode: code, failure, ends: this.#ends, terminated, stoppedBy });
  }

  readonly #endSurvivors = (): void => {
    this.#terminated = [...this.#ranks.keys()];
    this.#terminate();
  };

  readonly #terminate = (): void => {
    this.#signalAll("SIGTERM");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#killAll, KILL_GRACE_MS);
  };

  readonly #stop = (signal: NodeJS.Signals): void => {
    if (this.#stoppedBy) {
      this.#signalAll("SIGKILL");
      return;
    }
    this.#stoppedBy = signal;
    this.#terminate();
  };

  readonly #brokenPipe = (): void => this.#stop("SIGPIPE");
  readonly #killAll = (): void => this.#signalAll("SIGKILL");

  #signalAll(signal: NodeJS.Signals): void {
    for (const rank of this.#ranks.values()) rank.kill(signal);
  }
}

/** Every rank's output is piped to the launcher's: as many listeners are no leak. */
function expectListeners(count: number): void {
  for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(stream.getMaxListeners() + count);
}

/** `rank 2 was killed by SIGKILL`, `rank 2 exited with code 3`. */
export function describeEnd({ name, code, signal }: RankEnd): string {
  return signal ? `rank ${name} was killed by ${signal}` : `rank ${name} exited with code ${code}`;
}

function exitCode(stoppedBy: NodeJS.Signals | null, failure: RankEnd | null): number {
  const signal = stoppedBy ?? failure?.signal;
  return signal ? 128 + constants.signals[signal] : (failure?.code ?? 0);
}
