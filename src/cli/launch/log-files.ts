/** Files that keep what each rank prints: `rank-0.stdout.log` and `rank-0.stderr.log`. */
import { once } from "node:events";
import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../usage.ts";
import type { Rank } from "./ranks.ts";

/** The files of one launch. What a rank that is started again prints comes behind what it has printed. */
export class LogFiles {
  readonly #folder: string;
  readonly #files = new Map<string, WriteStream>();

  /** @throws UsageError if there can be no such folder. */
  constructor(folder: string) {
    this.#folder = folder;
    try {
      mkdirSync(folder, { recursive: true });
    } catch (error) {
      throw new UsageError(`--log-dir ${folder} cannot be made: ${(error as Error).message}`);
    }
  }

  /** Keeps what a rank prints from now on. */
  keep(name: string, { stdout, stderr }: Rank): void {
    stdout?.pipe(this.#file(`rank-${name}.stdout.log`), { end: false });
    stderr?.pipe(this.#file(`rank-${name}.stderr.log`), { end: false });
  }

  /** Resolves when all is written. */
  async close(): Promise<void> {
    for (const file of this.#files.values()) {
      file.end();
      if (!file.closed) await once(file, "close");
    }
  }

  #file(name: string): WriteStream {
    let file = this.#files.get(name);
    if (!file) {
      file = createWriteStream(join(this.#folder, name));
      // A full disk ends no job.
      file.on("error", (error) => process.stderr.write(`webccl run: --log-dir: ${error.message}\n`));
      this.#files.set(name, file);
    }
    return file;
  }
}
