/**
 * Account: the bytes that are kept for somebody. A hub or another server keeps nothing for others that is not charged to an
 * account until it is let go: half messages, parts of folds, frames that wait for a reader, calls that wait, stores.
 *
 * Accounts stand in one another: what is charged to a member's is charged to its group's and to the hub's too. Where one
 * holds more than its limit, the biggest holder in it is evicted, and not the one that came last.
 *
 *   hub ── group ── member ── what it has begun and not ended
 *                └─ store
 */

/** Where an account stands, and what it may hold. */
export interface AccountOptions {
  /** In words, such as "this group". */
  readonly name: string;
  /** Most bytes. Default: no limit of its own. */
  readonly limit?: number;
  readonly parent?: Account;
  /** Ends whatever the bytes are kept for, so that they are let go. Without it the account is never the one to go. */
  readonly evict?: (reason: string) => void;
}

/** See the file's head. */
export class Account {
  readonly #options: AccountOptions;
  readonly #limit: number;
  readonly #children = new Set<Account>();
  #held = 0;
  #isClosed = false;
  #isSettling = false;

  constructor(options: AccountOptions) {
    this.#options = options;
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY;
    const { parent } = options;
    if (parent) parent.#children.add(this);
  }

  /** Bytes that are kept, those of the accounts in it included. */
  get held(): number {
    return this.#held;
  }

  /** Would it stay within its own limit with so many bytes more? */
  fits(bytes: number): boolean {
    return this.#held + bytes <= this.#limit;
  }

  /** So many bytes are kept from now on. Who has to go for it goes when the code that runs now has ended. */
  charge(bytes: number): void {
    if (this.#isClosed) return;
    this.#held += bytes;
    if (this.#held > this.#limit) this.#settleSoon();
    this.#options.parent?.charge(bytes);
  }

  /** So many bytes are kept no longer. */
  release(bytes: number): void {
    if (this.#isClosed) return;
    this.#held -= bytes;
    this.#options.parent?.release(bytes);
  }

  /** Nothing is kept for it any more, and nothing counts that is charged or released from now on. */
  close(): void {
    const { parent } = this.#options;
    if (parent) {
      parent.release(this.#held);
      parent.#children.delete(this);
    }
    this.#isClosed = true;
    this.#held = 0;
  }

  /** Ends whatever it is for. What is on its way out then, such as bytes in a socket that closes, counts no longer. */
  expel(reason: string): void {
    this.#options.evict?.(reason);
    if (this.#held > 0) this.close();
  }

  #settleSoon(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    queueMicrotask(() => {
      this.#isSettling = false;
      const { name } = this.#options;
      while (this.#held > this.#limit) {
        const inside = this.#biggestHolder();
        (inside ?? this.#holderAround())?.expel(`too many bytes are kept for ${name}`);
        // Where whoever it stands in has gone, it has gone too.
        if (!inside) return;
      }
    });
  }

  /** The one in it that can be evicted and holds the most. */
  #biggestHolder(): Account | null {
    if (this.#options.evict) return this;
    let biggest: Account | null = null;
    for (const child of this.#children) {
      const holder = child.#biggestHolder();
      if (holder && holder.held > (biggest?.held ?? 0)) biggest = holder;
    }
    return biggest;
  }

  /** The one around it that can be evicted. */
  #holderAround(): Account | null {
    const { parent = null } = this.#options;
    if (!parent) return null;
    return parent.#options.evict ? parent : parent.#holderAround();
  }
}
