/**
 * Checkpoints of a group: named tensors that lie on several ranks, in one safetensors file, and back.
 *
 * A rank gives the tensors that it holds, of any memory; the bytes of a file are in host memory on root alone. Where and how
 * they are kept (a file, an upload) is the caller's. A wrong file is refused on all ranks alike.
 */
import { MismatchError, ProtocolError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { inTurn, type Turn, type TurnPart } from "../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { describe, describeArgument } from "../../tensor/describe.ts";
import type { TensorView } from "../../tensor/view.ts";
import { bytesPerElement, DATA_TYPES, type DataType, type ShapedTensor } from "../../types.ts";
import { countOf } from "../grad-bucket.ts";
import { deviceOf, readBytes, writeBytes } from "../host-copy.ts";
import {
  checkShape,
  decodeSafetensors,
  type Entry,
  emptyFile,
  listOf,
  MOST_HEADER_BYTES,
  type NamedTensors,
  readIndex,
  type Safetensors,
} from "./safetensors.ts";

/** Options of {@link scatterCheckpoint} and {@link loadCheckpoint}. */
export interface CheckpointOptions {
  /** The rank that has the bytes of the file. Default: 0. */
  root?: number;
}

/** Options of {@link gatherCheckpoint}. */
export interface GatherCheckpointOptions extends CheckpointOptions {
  /** Strings that the file holds beside the tensors; root's count. Default: none. */
  metadata?: Readonly<Record<string, string>>;
}

const CHECKPOINT_OPTIONS: OptionNames<CheckpointOptions> = { root: true };
const GATHER_OPTIONS: OptionNames<GatherCheckpointOptions> = { root: true, metadata: true };

/** Bytes of a rank's tensors, at most: no runtime has a longer array. More are refused on all ranks alike, not on root alone. */
const MOST_BYTES = 2 ** 33;
/** Bytes of a file, at most: those of its length and header, and of its tensors. */
const MOST_FILE_BYTES = 8 + MOST_HEADER_BYTES + MOST_BYTES;

/** A tensor without its bytes. */
type Facts = Pick<Entry, "name" | "dtype" | "shape">;

/**
 * The named tensors of all ranks, as the bytes of one safetensors file on root, and null on the other ranks. A name belongs to one
 * rank: tensors that all ranks hold alike are given by one of them. Root needs memory for the file.
 * @throws TypeError or RangeError for a tensor that is none or whose shape does not fit; the other ranks get a MismatchError.
 * @throws MismatchError on every rank alike if two ranks give a tensor of the same name. The group is whole.
 */
export function gatherCheckpoint(
  group: ProcessGroup,
  tensors: NamedTensors,
  options: GatherCheckpointOptions = {},
): Promise<Uint8Array<ArrayBuffer> | null> {
  const check = (turn: Turn) => {
    checkOptions("gatherCheckpoint", GATHER_OPTIONS, options);
    const { root = 0, metadata = {} } = options;
    checkRoot(group, "gatherCheckpoint", root);
    const own = checkTensors(group, tensors);
    emptyFile(
      own.facts.map((fact) => ({ ...fact, shape: [0] })),
      metadata,
    );
    turn.hold("gatherCheckpoint", viewsOf(own));
    return { ...own, root, metadata: { ...metadata } };
  };
  return inTurn(group, "checkpoint", check, ({ part }, call) => gather(group, part, call));
}

async function gather(
  group: ProcessGroup,
  part: TurnPart,
  { own, facts, root, metadata }: Own & Required<GatherCheckpointOptions>,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const all = (await group.allGatherObject<unknown>(facts, part)).map((list, rank) => checkFacts(group, list, rank));
  checkOwners(group, all);
  const bytes = concatenated(await Promise.all(own.map(([, { tensor }]) => readBytes(group, tensor))));
  const parts = group.rank === root ? all.map((list) => new Uint8Array(bytesOfList(list))) : null;
  await group.gather(parts, bytes, { ...part, root });
  return parts && fileOf(all, parts, metadata);
}

/**
 * Tensors of root's file into the tensors that each rank names: a rank gets the bytes of those alone. Root gives the bytes of the
 * file, the others null. `tensors` are filled in place, in any memory; their dtypes and shapes are those of the file.
 * @throws TypeError or RangeError for wrong arguments; the other ranks get a MismatchError.
 * @throws TypeError on root if the bytes are no safetensors file, and ProtocolError on the other ranks.
 * @throws MismatchError on every rank alike if the file has no such tensor, or one of another dtype or shape. The group is whole.
 */
export function scatterCheckpoint(
  group: ProcessGroup,
  bytes: Uint8Array | null,
  tensors: NamedTensors,
  options: CheckpointOptions = {},
): Promise<void> {
  const check = (turn: Turn) => {
    checkOptions("scatterCheckpoint", CHECKPOINT_OPTIONS, options);
    const { root = 0 } = options;
    const file = checkFile(group, "scatterCheckpoint", bytes, root);
    const own = checkTensors(group, tensors);
    turn.hold("scatterCheckpoint", file ? [describe(file)] : [], viewsOf(own));
    return { file, root, ...own };
  };
  return inTurn(group, "checkpoint", check, ({ part }, call) => scatter(group, part, call));
}

async function scatter(
  group: ProcessGroup,
  part: TurnPart,
  { file, root, own, facts: wanted }: Own & { file: Uint8Array | null; root: number },
): Promise<void> {
  const { index } = await shareIndex(group, part, file, root);
  const all = (await group.allGatherObject<unknown>(wanted, part)).map((list, rank) => checkFacts(group, list, rank));
  for (const [rank, list] of all.entries()) checkWanted(group, index, list, rank);
  const received = new Uint8Array(bytesOfList(wanted));
  await group.scatter(received, file && partsOf(file, all), { ...part, root });
  let at = 0;
  for (const [i, [, { tensor }]] of own.entries()) {
    const length = bytesOfFacts(wanted[i] ?? { name: "", dtype: "u8", shape: [0] });
    await writeBytes(group, tensor, received.subarray(at, at + length));
    at += length;
  }
}

/**
 * All tensors of root's file, on every rank. Root gives the bytes of the file, the others null. Every rank needs memory for the
 * file twice.
 * @throws TypeError or RangeError for wrong arguments; the other ranks get a MismatchError.
 * @throws TypeError on root if the bytes are no safetensors file, and ProtocolError on the other ranks. The group is whole.
 */
export function loadCheckpoint(
  group: ProcessGroup,
  bytes: Uint8Array | null,
  options: CheckpointOptions = {},
): Promise<Safetensors> {
  const check = (turn: Turn) => {
    checkOptions("loadCheckpoint", CHECKPOINT_OPTIONS, options);
    const { root = 0 } = options;
    const file = checkFile(group, "loadCheckpoint", bytes, root);
    // The collective that sends it claims it as well, to read it.
    turn.hold("loadCheckpoint", file ? [describe(file)] : []);
    return { file, root };
  };
  return inTurn(group, "checkpoint", check, ({ part }, { file, root }) => load(group, part, file, root));
}

async function load(group: ProcessGroup, part: TurnPart, file: Uint8Array | null, root: number): Promise<Safetensors> {
  const { length } = await shareIndex(group, part, file, root);
  if (typeof length !== "number" || !Number.isSafeInteger(length) || length < 0 || length > MOST_FILE_BYTES) {
    throw new ProtocolError(
      `group "${group.name}": rank ${root} sent ${length} as the length of its file, which has at most ${MOST_FILE_BYTES} bytes`,
      { group: group.name, rank: root },
    );
  }
  const all = file ?? new Uint8Array(length);
  await group.broadcast(all, { ...part, root });
  return decodeSafetensors(all);
}

/** A rank's own tensors, and what the others hear of them. */
interface Own {
  own: [name: string, tensor: ShapedTensor][];
  facts: Facts[];
}

function checkTensors(group: ProcessGroup, tensors: NamedTensors): Own {
  const own = listOf(tensors);
  const facts = own.map(([name, { tensor, shape }]) => {
    const { dtype, count, memory } = describeArgument(tensor, name);
    if (memory === "gpu") deviceOf(group);
    return { name, dtype, shape: checkShape(name, shape, count) };
  });
  return { own, facts };
}

function viewsOf({ own }: Own): TensorView[] {
  return own.map(([, { tensor }]) => describe(tensor));
}

/** The file's bytes on root, null on the other ranks. */
function checkFile(group: ProcessGroup, name: string, bytes: Uint8Array | null, root: number): Uint8Array | null {
  checkRoot(group, name, root);
  const isRoot = group.rank === root;
  if (isRoot && !(bytes instanceof Uint8Array))
    throw new TypeError(`${name}: root gives the file's bytes, a Uint8Array`);
  if (!isRoot && bytes !== null) throw new TypeError(`${name}: root alone gives the file's bytes; pass null here`);
  return bytes;
}

function checkRoot(group: ProcessGroup, name: string, root: number): void {
  if (Number.isSafeInteger(root) && root >= 0 && root < group.size) return;
  throw new RangeError(`${name}: root must be a rank of the group, 0 to ${group.size - 1}, got ${root}`);
}

/**
 * The tensors of root's file without their bytes, and its length, on all ranks; or the reason why it is no file, on all ranks. By an allGather, which
 * fails on all ranks or on none: after a broadcast that failed on some, the others would go on alone.
 */
async function shareIndex(
  group: ProcessGroup,
  part: TurnPart,
  bytes: Uint8Array | null,
  root: number,
): Promise<{ index: Map<string, Facts>; length: unknown }> {
  let index: Facts[] = [];
  let fault: unknown = null;
  try {
    if (bytes) index = readIndex(bytes).entries.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  } catch (error) {
    fault = error;
  }
  const own = bytes && (fault ? String(fault) : [bytes.byteLength, index]);
  const told = (await group.allGatherObject<unknown>(own, part))[root];
  if (fault) throw fault;
  if (typeof told === "string") {
    throw new ProtocolError(`group "${group.name}": rank ${root} cannot read its checkpoint: ${told}`, {
      group: group.name,
      rank: root,
    });
  }
  const [length, facts] = Array.isArray(told) ? (told as unknown[]) : [];
  return { length, index: new Map(checkFacts(group, facts, root).map((fact) => [fact.name, fact])) };
}

/** What another rank says of its tensors, checked. */
function checkFacts(group: ProcessGroup, list: unknown, rank: number): Facts[] {
  const isFacts = (value: unknown): value is Facts => {
    const { name, dtype, shape } = (value ?? {}) as Partial<Facts>;
    if (typeof name !== "string" || !DATA_TYPES.includes(dtype as DataType) || !Array.isArray(shape)) return false;
    return shape.every((n) => Number.isSafeInteger(n) && n >= 0) && Number.isSafeInteger(8 * countOf(shape));
  };
  if (!Array.isArray(list) || !list.every(isFacts)) {
    throw new ProtocolError(`group "${group.name}": rank ${rank} sent no list of tensors`, { group: group.name, rank });
  }
  const bytes = bytesOfList(list);
  if (bytes > MOST_BYTES) {
    throw new RangeError(
      `group "${group.name}": the tensors of rank ${rank} have ${bytes} bytes, more than ${MOST_BYTES}`,
    );
  }
  return list;
}

function checkOwners(group: ProcessGroup, all: readonly (readonly Facts[])[]): void {
  const owners = new Map<string, number>();
  for (const [rank, list] of all.entries()) {
    for (const { name } of list) {
      const owner = owners.get(name);
      if (owner !== undefined) {
        const text = `group "${group.name}": ranks ${owner} and ${rank} both give a tensor "${name}" to the checkpoint`;
        throw new MismatchError(text, { group: group.name, rank, field: "name" });
      }
      owners.set(name, rank);
    }
  }
}

function checkWanted(
  group: ProcessGroup,
  index: ReadonlyMap<string, Facts>,
  list: readonly Facts[],
  rank: number,
): void {
  const text = ({ dtype, shape }: Facts) => `${dtype} [${shape.join(", ")}]`;
  for (const wanted of list) {
    const there = index.get(wanted.name);
    if (there && text(there) === text(wanted)) continue;
    const said = there ? `has "${wanted.name}" as ${text(there)}` : `has no tensor "${wanted.name}"`;
    throw new MismatchError(`group "${group.name}": the checkpoint ${said}, and rank ${rank} wants ${text(wanted)}`, {
      group: group.name,
      rank,
      field: "tensor",
    });
  }
}

/** The file of what all ranks gave. */
function fileOf(
  all: readonly (readonly Facts[])[],
  parts: readonly Uint8Array[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const { bytes, entries } = emptyFile(all.flat(), metadata);
  const starts = new Map(entries.map(({ name, start }) => [name, start]));
  for (const [rank, list] of all.entries()) {
    let at = 0;
    for (const fact of list) {
      const length = bytesOfFacts(fact);
      bytes.set(parts[rank]?.subarray(at, at + length) ?? new Uint8Array(0), starts.get(fact.name) ?? 0);
      at += length;
    }
  }
  return bytes;
}

/** What each rank gets of root's file. */
function partsOf(file: Uint8Array, all: readonly (readonly Facts[])[]): Uint8Array<ArrayBuffer>[] {
  const entryOf = new Map(readIndex(file).entries.map((entry) => [entry.name, entry]));
  const partOf = ({ name }: Facts) => file.subarray(entryOf.get(name)?.start ?? 0, entryOf.get(name)?.end ?? 0);
  return all.map((list) => concatenated(list.map(partOf)));
}

function bytesOfList(list: readonly Facts[]): number {
  return list.reduce((total, fact) => total + bytesOfFacts(fact), 0);
}

function bytesOfFacts({ dtype, shape }: Facts): number {
  return countOf(shape) * bytesPerElement(dtype);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((total, { byteLength }) => total + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
