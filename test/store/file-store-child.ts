/** A process of its own for file-store.test.ts: `count <path> <times>` adds, `hold <lock>` takes a lock and never lets go. */
import { writeSync } from "node:fs";
import { withFileLock } from "../../src/node/file-store/file-lock.ts";
import { FileStore } from "../../src/node/file-store/file-store.ts";

const [task, path = "", times] = process.argv.slice(2);
if (task === "count") {
  const store = new FileStore(path);
  for (let i = 0; i < Number(times); i++) await store.add("counter", 1);
} else if (task === "hold") {
  await withFileLock(path, 1_000, () => {
    writeSync(1, "held");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
