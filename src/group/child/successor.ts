/** Successor: the group of all ranks that follows one, by `shrink` or `admit`. Loaded when the membership is first to change. */
import { AbortedError, UnsupportedError, WebcclError } from "../../errors.ts";
import { checkOptions } from "../../option-checks.ts";
import { MEMBERSHIP_OPTIONS, type MembershipOptions } from "../../options.ts";
import { timeLimitOf } from "../../support/timeouts.ts";
import type { Job, MemberGroup, NextEpoch } from "../job.ts";

/** What a successor asks of the group before it. */
export interface Predecessor<G> {
  readonly job: Job;
  dead(): WebcclError | null;
  isDestroyed(): boolean;
  /** The group of the next epoch, in place of this one. */
  make(next: NextEpoch): Promise<G>;
}

/** The group that follows `group`. All calls that are made meanwhile have one outcome. */
export class Successor<G extends MemberGroup> {
  readonly #group: G;
  readonly #before: Predecessor<G>;
  #next: Promise<G> | null = null;

  constructor(group: G, before: Predecessor<G>) {
    this.#group = group;
    this.#before = before;
  }

  /** Once there is one it stays; one that was not to be is tried anew. */
  follow(kind: "shrink" | "admit", options: MembershipOptions): Promise<G> {
    checkOptions(kind, MEMBERSHIP_OPTIONS, options);
    const timeoutMs = timeLimitOf(options.timeoutMs ?? this.#group.timeoutMs, `${kind}: timeoutMs`);
    this.#next ??= this.#change(kind, timeoutMs);
    const next = this.#next;
    const forget = () => {
      if (this.#next === next) this.#next = null;
    };
    next.then((group) => group === this.#group && forget(), forget);
    return next;
  }

  async #change(kind: "shrink" | "admit", timeoutMs: number): Promise<G> {
    const group = this.#group;
    const { job, dead, isDestroyed, make } = this.#before;
    if (isDestroyed()) throw dead();
    const membership = await job.membership();
    membership.expectWhole(group, kind);
    const { name } = group;
    if (kind === "shrink")
      group.abort(new AbortedError(`group "${name}": rank ${group.rank} called shrink`, { group: name }));
    try {
      const next = await membership.change(kind, { timeoutMs, dead });
      if (!next) return group;
      return await make(next).catch(async (error: unknown) => {
        // The old group has ended, and no group is there whose end would close the links.
        await membership.leave();
        throw error;
      });
    } catch (error) {
      if (error instanceof WebcclError && !(error instanceof UnsupportedError)) group.abort(error);
      throw error;
    }
  }
}
