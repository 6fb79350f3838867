/** On a machine without a GPU, with a real libnccl in LD_LIBRARY_PATH: what of it can be used, can be used. */
import assert from "node:assert/strict";
import * as nccl from "../index.js";

const [major, minor, patch] = nccl.versionTuple();
assert.equal(`${major}.${minor}.${patch}`, process.argv[2], "ncclGetVersion");
assert.equal(nccl.errorString(0), "no error");
assert.match(nccl.errorString(5), /invalid usage/);
const id = await nccl.getUniqueId();
assert.equal(id.length, 128);
assert.ok(id.some((byte) => byte !== 0));
const failure = await nccl.initRank(1, id, 0).catch((error) => error);
assert.match(failure.message, /libcuda\.so\.1 could not be opened|driver/);
assert.match(failure.message, /install|nvidia-smi/);
console.log(
  `NCCL ${major}.${minor}.${patch} from ${nccl.libraryPath().split("/").slice(-4).join("/")}: every symbol is there, a unique id was made`,
);
console.log(`  without a GPU initRank says: ${failure.message.slice(0, 90)}…`);
