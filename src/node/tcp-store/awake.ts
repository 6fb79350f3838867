/**
 * Awake: keeps a server's thread from falling asleep for a moment after an answer. A client that asks one thing after the other comes
 * again within microseconds, and to wake a thread that sleeps until then takes as long again. Of many clients some other one asks
 * meanwhile: then a turn of the event loop serves several of them, which costs less.
 */

/** How long it stays awake, in milliseconds: a client in Python needs a third of it. */
const AWAKE_MS = 0.1;

/** See the file's head. */
export class Awake {
  #client: object | null = null;
  #until = 0;
  #isAwake = false;

  /** This client has been answered. */
  answered(client: object): void {
    const isAlone = client === this.#client;
    this.#client = client;
    this.#until = isAlone ? performance.now() + AWAKE_MS : 0;
    if (this.#isAwake || !isAlone) return;
    this.#isAwake = true;
    setImmediate(this.#look);
  }

  /** This client is gone. */
  gone(client: object): void {
    if (client === this.#client) this.#client = null;
  }

  /** While something waits for the next turn of the event loop, the loop looks at its sockets and does not sleep. */
  readonly #look = (): void => {
    this.#isAwake = performance.now() < this.#until;
    if (this.#isAwake) setImmediate(this.#look);
  };
}
