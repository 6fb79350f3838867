import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createMemory, WasmMemory } from "../../../src/executor/cpu/wasm-memory.ts";
import { Directory, threadEnded } from "../../../src/link/threads/directory.ts";
import { bundled } from "../../helpers/bundled.ts";

const program = () => bundled(fileURLToPath(new URL("./lock-holder.ts", import.meta.url)));

describe("the lock of the threads' common memory", () => {
  it("is given on, however long its holder keeps it, and is an error for all once the holder has died", async () => {
    const { memory } = createMemory();
    const start = async (thread: number, holds: boolean) => {
      const worker = new Worker(await program(), { workerData: { memory, thread, holds } });
      worker.once("exit", () => threadEnded(memory, thread, () => false));
      const [said] = await once(worker, "message");
      return { worker, said };
    };
    const holder = await start(2, true);
    expect(holder.said).toBe("holds");
    const waiting = await Promise.all([0, 1].map((thread) => start(thread, false)));
    const answers = Promise.all(waiting.map(async ({ worker }) => (await once(worker, "message"))[0]));
    await holder.worker.terminate();
    const text = "thread 2 of this job ended while it held the lock of the threads' common memory";
    expect(await answers).toEqual([text, text]);
    expect(() => new Directory(new WasmMemory(memory), 3).acquire(5, 64)).toThrow(text);
  });
});
