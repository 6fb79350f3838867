/** PyTorch's TCPStore beside this one: tcp-store.py as client or server, driven call by call. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** What a call of PyTorch came to. */
export interface Outcome {
  result?: unknown;
  error?: string;
  message?: string;
}

/** A process that makes calls of PyTorch's store, one after the other. */
export class TorchStore {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(python: string, words: readonly string[]) {
    const program = fileURLToPath(new URL("tcp-store.py", import.meta.url));
    this.#process = spawn(python, [program, ...words], { stdio: ["pipe", "pipe", "ignore"] });
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
  }

  /** A client of the server at that port. */
  static async client(python: string, port: number): Promise<TorchStore> {
    const store = new TorchStore(python, ["client", "127.0.0.1", String(port)]);
    await store.#next();
    return store;
  }

  /** A server, and its port. */
  static async server(python: string): Promise<{ store: TorchStore; port: number; torch: string }> {
    const store = new TorchStore(python, ["server"]);
    const { port, torch } = (await store.#next()) as { port: number; torch: string };
    return { store, port, torch };
  }

  /** Makes a call; calls that are made at once come back in their order. */
  async call(...call: readonly unknown[]): Promise<Outcome> {
    this.#process.stdin!.write(`${JSON.stringify(call)}\n`);
    return (await this.#next()) as Outcome;
  }

  close(): void {
    this.#process.stdin!.end();
  }

  async #next(): Promise<object> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the Python process ended");
    return JSON.parse(value) as object;
  }
}

const LIMIT_MS = 200;

/** Every call of a store, in an order in which each shows something. */
export const CALLS: readonly (readonly unknown[])[] = [
  ["set", "k", "value"],
  ["get", "k"],
  ["set", "", "an empty key"],
  ["set", "utf8 ключ", "ключ"],
  ["get", "utf8 ключ"],
  ["add", "n", "5"],
  ["add", "n", "-7"],
  ["add", "n", "4611686018427387904"],
  ["get", "n"],
  ["set", "m", "41"],
  ["add", "m", "1"],
  ["compare_set", "c", "", "first"],
  ["compare_set", "c", "first", "second"],
  ["compare_set", "c", "first", "third"],
  ["compare_set", "c2", "something", "x"],
  ["check", ["k"]],
  ["check", ["k", "nope"]],
  ["check", []],
  ["wait", ["k", "n"], LIMIT_MS],
  ["wait", ["never"], LIMIT_MS],
  ["set", "after", "a wait that timed out"],
  ["get", "after"],
  ["delete_key", "m"],
  ["delete_key", "m"],
  ["num_keys"],
  ["append", "log", "one"],
  ["append", "log", "two"],
  ["get", "log"],
  ["multi_set", ["a", "b"], ["1", "22"]],
  ["multi_get", ["a", "b", "k"]],
  ["queue_push", "q", "one"],
  ["queue_push", "q", "two"],
  ["queue_len", "q"],
  ["queue_pop", "q", true],
  ["queue_pop", "q", false],
  ["queue_pop", "q", false],
  ["queue_len", "none"],
  ["list_keys"],
  ["barrier", "bar", 1],
  ["set_timeout", LIMIT_MS],
  ["get", "absent"],
  ["queue_pop", "none", true],
  ["set_timeout", 30_000],
  ["num_keys"],
];
