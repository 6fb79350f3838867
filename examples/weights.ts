/**
 * The weights of a model go from a file that a Node process has to browser tabs, which have no files:
 *
 *   npx webccl run -n 4 --browsers 3 examples/weights.ts [--file model.safetensors]
 *
 * First all ranks get all tensors (`loadCheckpoint`, one broadcast), then each gets the tensors that it names (`scatterCheckpoint`,
 * one scatter), as ranks of a pipeline do that have a part of the layers. Every rank hashes what it got, and rank 0 compares the
 * hashes with those of its file. Without --file it makes one of 8 MB. --json prints one line.
 */
import { initProcessGroup } from "webccl";
import { decodeSafetensors, encodeSafetensors, loadCheckpoint, scatterCheckpoint } from "webccl/ddp";

/** What rank 0 tells of it. */
interface Outcome {
  ranks: string[];
  bytes: number;
  tensors: number;
  sha256: string;
  /** Every rank has the right hashes. */
  right: boolean;
  loadMs: number;
  scatterMs: number;
}

const group = await initProcessGroup();
const { rank, size } = group;
const settings = rank === 0 ? await readSettings() : null;

let start = performance.now();
const { tensors } = await loadCheckpoint(group, settings?.file ?? null);
const loadMs = performance.now() - start;

// The layers of this rank, in memory that is there already.
const own = [...tensors].filter((_, i) => i % size === rank);
const named = own.map(([name, { tensor, shape }]) => {
  const bytes = bytesOf(tensor);
  return [name, { tensor: new Float32Array(bytes.byteLength / 4), shape }] as const;
});
start = performance.now();
await scatterCheckpoint(group, settings?.file ?? null, new Map(named));
const scatterMs = performance.now() - start;

const hashes = await group.gatherObject({
  all: await sha256([...tensors.values()].map(({ tensor }) => bytesOf(tensor))),
  own: await sha256(named.map(([, { tensor }]) => bytesOf(tensor))),
});
if (settings && hashes) {
  const sent = [...decodeSafetensors(settings.file).tensors.values()].map(({ tensor }) => bytesOf(tensor));
  const all = await sha256(sent);
  const shares = await Promise.all(hashes.map((_, r) => sha256(sent.filter((_part, i) => i % size === r))));
  const outcome: Outcome = {
    ...{ ranks: group.info().ranks.map(({ runtime }) => runtime), bytes: settings.file.byteLength },
    ...{ tensors: tensors.size, sha256: all, loadMs, scatterMs },
    right: hashes.every((hash, r) => hash.all === all && hash.own === shares[r]),
  };
  if (settings.json) console.log(JSON.stringify(outcome));
  else {
    console.log(`${outcome.ranks.join(", ")}: ${outcome.tensors} tensors of ${outcome.bytes} bytes, sha256 ${all}`);
    console.log(`all to every rank in ${loadMs.toFixed(0)} ms, each its share in ${scatterMs.toFixed(0)} ms`);
    console.log(outcome.right ? "every hash is right" : "WRONG hashes");
  }
  if (!outcome.right) process.exitCode = 1;
}
await group.destroy();

function bytesOf(tensor: unknown): Uint8Array<ArrayBuffer> {
  if (!(tensor instanceof Float32Array)) throw new TypeError("this example takes files of f32 tensors alone");
  // A copy: what is hashed must not lie in memory that threads share.
  return Uint8Array.from(new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength));
}

async function sha256(parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await new Blob([...parts]).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The command line of rank 0, and the file. */
async function readSettings() {
  const { parseArgs } = await import("node:util");
  const { readFile } = await import("node:fs/promises");
  const { values } = parseArgs({ options: { file: { type: "string" }, json: { type: "boolean" } } });
  const made = () => {
    const layer = (i: number) => Float32Array.from({ length: 2 ** 18 }, (_, k) => Math.sin(i + 0.37 * k * k));
    const layers = Array.from(
      { length: 8 },
      (_, i) => [`layer ${i}`, { tensor: layer(i), shape: [512, 512] }] as const,
    );
    return encodeSafetensors(new Map(layers));
  };
  return { file: values.file === undefined ? made() : await readFile(values.file), json: values.json ?? false };
}
