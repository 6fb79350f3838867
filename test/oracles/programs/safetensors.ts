/** Files of 100 random models: does Hugging Face's library read them, and does it write what decodeSafetensors reads? */
import { deepStrictEqual } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostTensor, readBytes } from "../../../src/ddp/host-copy.ts";
import { decodeSafetensors, encodeSafetensors, type NamedTensors } from "../../../src/ddp/index.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { SeededRandom } from "../../../src/support/seeded-random.ts";
import { bytesPerElement, type DataType, type ShapedTensor } from "../../../src/types.ts";
import { runPython, seedOfRun } from "../python.ts";

/** The dtypes that numpy has. */
const NUMPY: Partial<Record<DataType, string>> = {
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  f16: "float16",
  f32: "float32",
  f64: "float64",
};
const DTYPES = Object.keys(NUMPY) as DataType[];
const NAMES = ["a", "b.weight", "0", "constructor", "ä", "x y", '"', "\\n"];

const folder = mkdtempSync(join(tmpdir(), "webccl-safetensors-"));
const group = await initProcessGroup({ initMethod: "memory://safetensors", rank: 0, worldSize: 1 });
const random = new SeededRandom(seedOfRun());

/** The Python of an environment that has the library. `WEBCCL_SAFETENSORS` names another one. */
function pythonOfLibrary(): string {
  const given = process.env.WEBCCL_SAFETENSORS;
  if (given) return given;
  const environment = join(folder, "venv");
  const python = join(environment, "bin", "python");
  for (const [command, ...words] of [
    ["python3", "-m", "venv", environment],
    [python, "-m", "pip", "install", "--quiet", "safetensors", "numpy"],
  ] as const) {
    if (spawnSync(command, words, { stdio: "inherit" }).status !== 0) throw new Error(`${command} ${words[1]} failed`);
  }
  return python;
}

async function factsOf(tensors: ReadonlyMap<string, ShapedTensor>) {
  const list = await Promise.all(
    [...tensors].map(async ([name, { tensor, shape }]) => {
      const { dtype } = tensor as { dtype: DataType };
      const hex = Buffer.from(await readBytes(group, tensor)).toString("hex");
      return [name, [dtype ? NUMPY[dtype] : undefined, [...shape], hex]] as const;
    }),
  );
  return Object.fromEntries(list);
}

const python = pythonOfLibrary();
if (!existsSync(python)) throw new Error(`${python} is missing`);
for (let round = 0; round < 100; round++) {
  const tensors = new Map<string, ShapedTensor>();
  for (const name of NAMES.slice(0, random.below(NAMES.length + 1))) {
    const dtype = random.pick(DTYPES);
    const shape = Array.from({ length: random.below(4) }, () => random.below(5));
    const count = shape.reduce((product, length) => product * length, 1);
    const bytes = Uint8Array.from({ length: count * bytesPerElement(dtype) }, () => random.u32());
    tensors.set(name, { tensor: hostTensor(dtype, bytes), shape });
  }
  const [ours, theirs] = [join(folder, "ours"), join(folder, "theirs")];
  writeFileSync(ours, encodeSafetensors(tensors as NamedTensors, { round: String(round) }));
  const read = runPython(python, "safetensors.py", "check", ours, theirs) as { tensors: unknown; metadata: unknown };
  deepStrictEqual(read, { tensors: await factsOf(tensors), metadata: { round: String(round) } });
  deepStrictEqual(
    new Uint8Array(readFileSync(theirs)),
    encodeSafetensors(decodeSafetensors(new Uint8Array(readFileSync(theirs))).tensors, { round: String(round) }),
  );
}
await group.destroy();
rmSync(folder, { recursive: true });
console.log("100 models went to the library and back");
