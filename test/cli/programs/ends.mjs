// Rank R ends as argument R says: an exit code, or a signal to itself. "0 after FILE" waits until the process has ended whose
// number is in FILE, "5 as FILE" writes its own there when it has been started again.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [how, order, file] = process.argv[2 + Number(process.env.RANK)].split(" ");
const runs = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
if (order === "as" && process.env.TORCHELASTIC_RESTART_COUNT === "1") {
  writeFileSync(`${file}.part`, `${process.pid}`);
  renameSync(`${file}.part`, file);
}
if (order === "after") while (!existsSync(file) || runs(Number(readFileSync(file, "utf8")))) await sleep(10);
if (how.startsWith("SIG")) process.kill(process.pid, how);
else process.exit(Number(how));
