/**
 * Watcher: asks the worker servers of a job's ranks for their flight recorders, again and again, and knows who has stopped
 * answering. A stopped process does not answer, and one that is busy answers late; both are silent here.
 */
import { readdirSync, statSync } from "node:fs";
import { type RequestOptions, request } from "node:http";
import { join } from "node:path";
import { parseDump, type TraceDump } from "../../trace/index.ts";
import { UsageError } from "../usage.ts";

/** Time between two questions to a rank, in milliseconds. */
const PERIOD_MS = 400;
/** A rank that has not answered for this long is silent. */
const SILENT_MS = 1_200;
/** A question that is not answered within this time is given up. */
const ANSWER_MS = 5_000;

/** Where a worker server is. */
type Address = Pick<RequestOptions, "socketPath" | "host" | "port">;

/** What is known of one rank. */
export interface Seen {
  readonly dump: TraceDump;
  /** When it came, on this process's clock. */
  readonly at: number;
  /** The dump before, for rates. */
  readonly before: TraceDump | null;
}

/** See the file's head. */
export class Watcher {
  readonly #places: readonly string[];
  readonly #asked = new Set<string>();
  readonly #seen = new Map<number, Seen>();
  readonly #timer: NodeJS.Timeout;
  #trouble: string | null = null;

  /** @throws UsageError if a place is neither a folder, nor "unix:/path", nor "http://host:port". */
  constructor(places: readonly string[]) {
    this.#places = places;
    this.#addresses();
    this.#timer = setInterval(() => this.#askAll(), PERIOD_MS);
    this.#askAll();
  }

  /** The last that each rank told, by rank. */
  get seen(): ReadonlyMap<number, Seen> {
    return this.#seen;
  }

  /** Why a place could not be asked, or null. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Ranks that do not answer, and for how many milliseconds. */
  silent(): Map<number, number> {
    const now = performance.now();
    const silent = [...this.#seen].map(([rank, { at }]) => [rank, now - at] as const);
    return new Map(silent.filter(([, ms]) => ms >= SILENT_MS));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #askAll(): void {
    for (const [name, address] of this.#addresses()) {
      if (this.#asked.has(name)) continue;
      this.#asked.add(name);
      void this.#ask(address).finally(() => this.#asked.delete(name));
    }
  }

  async #ask(address: Address): Promise<void> {
    try {
      const text = await textAt({ ...address, path: "/handler/fr_trace_json?includeStackTraces=false" });
      const dump = parseDump(JSON.parse(text), "the answer of a worker server");
      const last = this.#seen.get(dump.rank);
      const isLater = !last || last.dump.clockZero !== dump.clockZero || last.dump.takenMs < dump.takenMs;
      if (isLater) this.#seen.set(dump.rank, { dump, at: performance.now(), before: last?.dump ?? null });
      // Ranks of a job that ran here before are gone.
      for (const [rank, { dump: other }] of this.#seen) if (other.size !== dump.size) this.#seen.delete(rank);
      this.#trouble = null;
    } catch (error) {
      this.#trouble = (error as Error).message;
    }
  }

  #addresses(): Map<string, Address> {
    return new Map(this.#places.flatMap((place) => addressesAt(place)));
  }
}

function addressesAt(place: string): [string, Address][] {
  if (place.startsWith("unix:")) return [[place, { socketPath: place.slice("unix:".length) }]];
  if (URL.canParse(place) && new URL(place).protocol === "http:") {
    const { hostname, port } = new URL(place);
    return [[place, { host: hostname, port: port || 80 }]];
  }
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`--live ${place}: pass the folder of WEBCCL_TRACE_DIR, unix:/path, or http://host:port`);
  }
  return readdirSync(place)
    .filter((name) => name.endsWith(".sock"))
    .map((name) => [join(place, name), { socketPath: join(place, name) }]);
}

function textAt(options: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, agent: false, timeout: ANSWER_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(text));
      });
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end();
  });
}
