/** Gate: what is done in order, and held while something has to be over first. */
export class Gate {
  #isShut = false;
  #held: (() => void)[] = [];

  /** Does `action` at once, or when the gate opens and everything held before has been done. */
  pass(action: () => void): void {
    if (this.#isShut || this.#held.length > 0) this.#held.push(action);
    else action();
  }

  shut(): void {
    this.#isShut = true;
  }

  open(): void {
    this.#isShut = false;
    let done = 0;
    while (!this.#isShut && done < this.#held.length) this.#held[done++]!();
    this.#held = this.#held.slice(done);
  }
}
