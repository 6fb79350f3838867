/**
 * EventLog: what happens at a hub as lines of JSON. Joins and departures are a line each. Refusals and evictions may be the work of
 * somebody who makes very many: the first of a kind and an address is a line, and those that follow are counted, and told
 * together once a minute.
 */
import type { HubEvent } from "../../hub/events.ts";

const TOLD_EVERY_MS = 60_000;
/** Most kinds and addresses that are told apart; of the others there is one line a minute together. */
const MOST_APART = 1_024;

interface Repeated {
  readonly line: object;
  count: number;
}

/** See the file's head. */
export class EventLog {
  readonly #write: (line: string) => void;
  readonly #repeated = new Map<string, Repeated>();
  readonly #timer: NodeJS.Timeout;

  /** `write` gets each line, with its end. */
  constructor(write: (line: string) => void) {
    this.#write = write;
    this.#timer = setInterval(() => this.tell(), TOLD_EVERY_MS).unref();
  }

  add(event: HubEvent): void {
    if (event.event !== "refused" && event.event !== "evicted") {
      this.#print(event);
      return;
    }
    const who = event.event === "refused" ? `${event.kind} ${event.address}` : `${event.code} ${event.group}`;
    const key = `${event.event} ${who}`;
    const known = this.#repeated.get(key);
    if (known) known.count++;
    else if (this.#repeated.size < MOST_APART) {
      this.#repeated.set(key, { line: event, count: 0 });
      this.#print(event);
    } else this.#addOther(event.event);
  }

  /** Writes how often each has come since it was written last; who did not come again is forgotten. */
  tell(): void {
    for (const [key, { line, count }] of [...this.#repeated]) {
      this.#repeated.delete(key);
      if (count === 0) continue;
      this.#repeated.set(key, { line, count: 0 });
      this.#print({ ...line, again: count });
    }
  }

  /** Writes what is counted, and ends. */
  close(): void {
    clearInterval(this.#timer);
    this.tell();
  }

  #addOther(event: string): void {
    const key = `${event} from many`;
    const others = this.#repeated.get(key);
    if (others) others.count++;
    else this.#repeated.set(key, { line: { event, address: "many" }, count: 1 });
  }

  #print(line: object): void {
    this.#write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
  }
}
