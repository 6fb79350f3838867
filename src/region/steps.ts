/**
 * Steps: how the ranks of a region go forward together, over a gate at which they meet and a board on which they show each
 * other their calls. The first step of a call compares the calls of all ranks.
 */
import { now } from "../support/clock.ts";
import type { Late } from "../support/late.ts";
import type { Pace } from "../support/pace.ts";
import type { Fingerprint } from "../wire/frame.ts";

/** Where the ranks meet. */
export interface Gate {
  /** This rank comes to the next step. True if all have come, soon; else `passed` is to be awaited. */
  arrive(): boolean;
  /** Ranks that have not come. */
  missing(): number[];
  /** Resolves when all have come. */
  passed(): Promise<void>;
}

/** Where the ranks show each other their calls. */
export interface Board {
  /** This rank shows its next call, from the next step on. */
  begin(call: Fingerprint): void;
  /** Do two ranks make the same call? To be asked between the call's first step and the next one. */
  sameCalls(a: number, b: number): boolean;
  callOf(rank: number): Fingerprint;
  /** This rank shows that it makes no call. */
  skip(): void;
  /** Does `rank` show that? To be asked once it has come to the call's first step. */
  hasSkipped(rank: number): boolean;
}

/** The call of this rank that steps. */
export interface SteppingCall {
  readonly fingerprint: Fingerprint;
  /** What ended the call, or null. */
  readonly error: Error | null;
  /** Until the function that this returns is called, `wait` counts as waiting, and fails with the call. */
  watch(wait: { missing(): readonly number[]; reject(error: Error): void }): () => void;
  /** The call of `rank` is known to be another one. */
  hear(rank: number, call: Fingerprint): void;
  /** Every rank has found that the calls of these two differ; one that came early may have found others. The call's verdict is on the way. */
  disagree(ranks: readonly [number, number], calls: readonly [Fingerprint, Fingerprint]): void;
}

/** The parts and settings of steps. */
export interface StepsOptions {
  rank: number;
  size: number;
  gate: Gate;
  board: Board;
  pace: Pace;
}

/** The steps of one rank. */
export class Steps {
  readonly #options: StepsOptions;
  #call: SteppingCall | null = null;
  #agreed = false;
  /** A step that this rank made and did not see all others make. */
  #open: Promise<void> | null = null;

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  /** Is there a step that this rank made and did not see all others make? Nothing begins before they have. */
  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Resolves when all have made that step; rejects if `call`, which waits to begin, fails before. */
  closed(call?: SteppingCall): Late {
    return this.#open && call ? this.#watch(this.#open, call) : (this.#open ?? undefined);
  }

  /** Has this call's first step shown that all ranks make the same? */
  get agreed(): boolean {
    return this.#agreed;
  }

  /** Begins this rank's next call. */
  begin(call: SteppingCall): void {
    this.#call = call;
    this.#agreed = false;
    this.#options.board.begin(call.fingerprint);
  }

  /** Comes to the first step of a call that this rank does not make. */
  skip(): void {
    const { board, gate } = this.#options;
    board.skip();
    if (!gate.arrive()) this.#leaveOpen();
  }

  /** Resolves, or returns at once, when every rank has made this step. */
  step(): Late {
    return this.arrived(this.#options.gate.arrive());
  }

  /** The rest of a step to which this rank has come, and all ranks if `all`. */
  arrived(all: boolean): Late {
    return all ? this.#agree() : this.#awaitStep();
  }

  get #current(): SteppingCall {
    if (!this.#call) throw new Error("no call has begun");
    return this.#call;
  }

  /** Do all ranks make the same call? To be asked when all have come to its first step. */
  isSameCall(): boolean {
    return !this.#isSkipped() && this.#firstToDiffer() === 0;
  }

  /** Another rank has failed in work that this one goes on from: rejects with its error, which is on the way. */
  failed(): Promise<void> {
    return this.#watch(new Promise(() => {}));
  }

  /** To be called between pieces of long work: lets the event loop turn if it has not for a while. */
  breathe(): Late {
    return this.#options.pace.isDue(now()) ? this.#pause() : undefined;
  }

  /**
   * At a call's first step, when all have come: the first rank whose call is not rank 0's, and rank 0, are named to the judge. Then, and
   * where some rank has skipped the call, its verdict is on the way, and awaited.
   */
  #agree(): Late {
    if (this.#agreed) return undefined;
    const { board } = this.#options;
    if (this.#isSkipped()) return this.failed();
    const rank = this.#firstToDiffer();
    if (rank > 0) {
      this.#current.disagree([0, rank], [board.callOf(0), board.callOf(rank)]);
      return this.failed();
    }
    this.#agreed = true;
    return undefined;
  }

  #isSkipped(): boolean {
    const { board, size } = this.#options;
    for (let rank = 0; rank < size; rank++) if (board.hasSkipped(rank)) return true;
    return false;
  }

  /** The first rank whose call is not rank 0's, or 0. */
  #firstToDiffer(): number {
    const { board, size } = this.#options;
    for (let rank = 1; rank < size; rank++) if (!board.sameCalls(0, rank)) return rank;
    return 0;
  }

  async #awaitStep(): Promise<void> {
    const { pace } = this.#options;
    if (!this.#agreed) this.#compareWithThoseThatCame();
    await this.#watch(this.#leaveOpen());
    pace.turned();
    return this.#agree();
  }

  /**
   * Not all have come to a call's first step. Of any two ranks that have, and whose calls differ, one notices it here. Where a
   * rank makes no call, the verdict is on the way.
   */
  #compareWithThoseThatCame(): void {
    const { board, gate, rank: own, size } = this.#options;
    const missing = gate.missing();
    for (let rank = 0; rank < size; rank++) {
      if (missing.includes(rank) || board.hasSkipped(rank) || board.sameCalls(rank, own)) continue;
      this.#current.hear(rank, board.callOf(rank));
      return;
    }
  }

  /** The call may fail while the event loop turns; then it ends here. */
  async #pause(): Promise<void> {
    await this.#options.pace.turn();
    const { error } = this.#current;
    if (error) throw error;
  }

  #leaveOpen(): Promise<void> {
    this.#open = this.#options.gate.passed().then(() => {
      this.#open = null;
    });
    return this.#open;
  }

  /** Resolves with `passed`, or rejects with the call, which meanwhile waits for the ranks that have not come. */
  #watch(passed: Promise<void>, call = this.#current): Promise<void> {
    const { gate } = this.#options;
    return new Promise<void>((resolve, reject) => {
      const forget = call.watch({ missing: () => gate.missing(), reject });
      passed.then(() => {
        forget();
        resolve();
      }, reject);
    });
  }
}
