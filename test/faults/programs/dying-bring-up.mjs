/**
 * A rank that gets a signal at the DIES_ATth call of a function of node:fs, as the package calls them in its bring-up. With
 * DIES_AT 0 it lives, and says how many calls there were.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const diesAt = Number(process.env.DIES_AT);
let calls = 0;
for (const name of [
  "openSync",
  "closeSync",
  "readSync",
  "writeSync",
  "lstatSync",
  "fstatSync",
  "readdirSync",
  "rmSync",
  "unlinkSync",
]) {
  const original = fs[name];
  fs[name] = (...args) => {
    const result = original(...args);
    calls++;
    if (calls === diesAt) process.kill(process.pid, process.env.SIGNAL);
    return result;
  };
}
syncBuiltinESMExports();

const { initProcessGroup } = await import("webccl");
const group = await initProcessGroup({ transport: "shared-file", timeoutMs: 20_000 });
if (diesAt === 0) console.log(JSON.stringify({ calls, link: group.info().ranks[1 - group.rank].link }));
await group.destroy();
