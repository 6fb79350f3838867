/** A thread that takes the lock of the common memory `holds`, and stops there for ever; or one that asks for a key. */
import { parentPort, workerData } from "node:worker_threads";
import { WasmMemory } from "../../../src/executor/cpu/wasm-memory.ts";
import { Directory } from "../../../src/link/threads/directory.ts";

const { memory, thread, holds } = workerData as { memory: WebAssembly.Memory; thread: number; holds: boolean };
const heap = new WasmMemory(memory);
if (holds) {
  // The block of a key is allocated while the lock is held.
  heap.allocate = () => {
    parentPort!.postMessage("holds");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return -1;
  };
} else parentPort!.postMessage("asks");
try {
  new Directory(heap, thread).acquire(1, 64);
  parentPort!.postMessage("got it");
} catch (error) {
  parentPort!.postMessage((error as Error).message);
}
