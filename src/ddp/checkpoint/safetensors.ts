/**
 * safetensors: named tensors in one file, as Hugging Face's library writes and reads them.
 *
 *     byte 0   length of the header, an unsigned 64-bit integer, little-endian
 *     byte 8   the header, JSON in UTF-8: { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, … }, padded
 *              with spaces to a multiple of 8; "__metadata__" holds an object of strings
 *     then     the data of the tensors, little-endian, without gaps; offsets count from its first byte
 *
 * Tensors with large elements come first, so that every tensor is aligned to its elements; the bytes are those of the library. A file may come from anybody: every
 * length and offset is checked before it is used, and names go into a Map.
 *
 * Source: https://huggingface.co/docs/safetensors, "Format".
 */
import { describeArgument } from "../../tensor/describe.ts";
import { tensorOver } from "../../tensor/host.ts";
import { bytesPerElement, type DataType, type ShapedTensor } from "../../types.ts";
import { countOf } from "../grad-bucket.ts";
import { bytesOf, hostTensor } from "../host-copy.ts";

/** The name of each dtype in a header, in the order in which the library sorts them: the last come first in a file. */
const NAMES: Readonly<Record<DataType, string>> = {
  u8: "U8",
  i8: "I8",
  f8e5m2: "F8_E5M2",
  f8e4m3: "F8_E4M3",
  i16: "I16",
  u16: "U16",
  f16: "F16",
  bf16: "BF16",
  i32: "I32",
  u32: "U32",
  f32: "F32",
  f64: "F64",
  i64: "I64",
  u64: "U64",
};
const ORDER = Object.keys(NAMES);

/** Every name of a dtype; a boolean is a byte here. */
const DTYPES: ReadonlyMap<string, DataType> = new Map([
  ...Object.entries(NAMES).map(([dtype, name]) => [name, dtype as DataType] as const),
  ["BOOL", "u8"] as const,
]);

const METADATA = "__metadata__";
const LENGTH_BYTES = 8;
/** The library's own limit. */
export const MOST_HEADER_BYTES = 100_000_000;
const MOST_DIMENSIONS = 64;
/** Arrays and objects within each other in a header. */
const MOST_LEVELS = 3;

/** Named tensors, as an object or a Map. */
export type NamedTensors = Readonly<Record<string, ShapedTensor>> | ReadonlyMap<string, ShapedTensor>;

/** The contents of a file. The tensors are in host memory. */
export interface Safetensors {
  /** The tensors by name, each with its shape. */
  tensors: Map<string, ShapedTensor>;
  /** Texts by name, which say what the file is; none is meant for programs. */
  metadata: Map<string, string>;
}

/** Where a tensor lies in the data. */
export interface Entry {
  name: string;
  dtype: DataType;
  shape: readonly number[];
  start: number;
  end: number;
}

/**
 * The named tensors as a list.
 * @throws TypeError if they are no object or Map, a name is no string, or a tensor has no shape.
 */
export function listOf(tensors: NamedTensors): [name: string, tensor: ShapedTensor][] {
  requireFields("tensors", tensors);
  const list: [string, ShapedTensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  for (const [name, tensor] of list) {
    if (typeof name !== "string") throw new TypeError(`the name of a tensor must be a string, got ${String(name)}`);
    if (typeof tensor === "object" && tensor !== null && "tensor" in tensor) continue;
    throw new TypeError(`${name}: { tensor, shape } is needed`);
  }
  return list;
}

/** @throws TypeError if `value`, which is called `name`, is no object or Map that holds something by name. */
function requireFields(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new TypeError(`${name} must be an object or a Map, got ${Array.isArray(value) ? "a list" : String(value)}`);
}

/**
 * The bytes of a file that holds `tensors`, which must be in host memory (`gatherCheckpoint` takes those of any memory).
 * @throws TypeError if a tensor is none, or not in host memory, or if a name is `__metadata__`; RangeError if a shape has another
 * number of elements than its tensor.
 */
export function encodeSafetensors(
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const data = new Map<string, Uint8Array>();
  const parts = listOf(tensors).map(([name, { tensor, shape }]) => {
    const view = describeArgument(tensor, name);
    if (view.memory !== "host") {
      throw new TypeError(`${name} is in ${view.memory} memory, not the host's: pass it to gatherCheckpoint`);
    }
    data.set(name, bytesOf(view));
    return { name, dtype: view.dtype, shape: checkShape(name, shape, view.count) };
  });
  const { bytes, entries } = emptyFile(parts, metadata);
  for (const { name, start } of entries) bytes.set(data.get(name) ?? new Uint8Array(0), start);
  return bytes;
}

/** A file whose header is there and whose data is to be filled in. The entries' offsets count from the file's first byte. */
export function emptyFile(
  parts: readonly Pick<Entry, "name" | "dtype" | "shape">[],
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string>,
): { bytes: Uint8Array<ArrayBuffer>; entries: Entry[] } {
  requireFields("metadata", metadata);
  const notes = metadata instanceof Map ? Object.fromEntries(metadata) : metadata;
  const wrong = Object.entries(notes).find(([, value]) => typeof value !== "string");
  if (wrong) throw new TypeError(`metadata of a safetensors file holds strings, and ${wrong[0]} is ${typeof wrong[1]}`);
  const sorted = [...parts].sort(
    (a, b) => ORDER.indexOf(b.dtype) - ORDER.indexOf(a.dtype) || (a.name < b.name ? -1 : 1),
  );
  let length = 0;
  const entries = sorted.map((part) => {
    const start = length;
    length += countOf(part.shape) * bytesPerElement(part.dtype);
    return { ...part, start, end: length };
  });
  const described = entries.map(({ name, dtype, shape, start, end }) => {
    if (name === METADATA) throw new TypeError(`no tensor may have the name ${METADATA}`);
    return [name, { dtype: NAMES[dtype], shape, data_offsets: [start, end] }] as const;
  });
  const fields = [...(Object.keys(notes).length > 0 ? [[METADATA, notes] as const] : []), ...described];
  // Not through an object: it would put names that are whole numbers first, and __proto__ would be lost.
  const header = new TextEncoder().encode(
    `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`,
  );
  const dataStart = LENGTH_BYTES + Math.ceil(header.byteLength / 8) * 8;
  const bytes = new Uint8Array(dataStart + length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(dataStart - LENGTH_BYTES), true);
  bytes.fill(0x20, LENGTH_BYTES, dataStart).set(header, LENGTH_BYTES);
  return {
    bytes,
    entries: entries.map((entry) => ({ ...entry, start: dataStart + entry.start, end: dataStart + entry.end })),
  };
}

/**
 * The tensors in the bytes of a file. Each has memory of its own.
 * @throws TypeError that says why the bytes are no safetensors file: a header that is cut, too long or no JSON, a name that comes
 * twice, a dtype that there is none of here, a shape that does not fit its bytes, or tensors that overlap, leave a gap or end
 * outside the file.
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  const { entries, metadata } = readIndex(bytes);
  const tensors = entries.map(({ name, dtype, shape, start, end }) => {
    // Not bytes.slice: a Buffer's shares memory.
    const tensor = hostTensor(dtype, new Uint8Array(bytes.subarray(start, end)));
    return [name, { tensor: tensorOver(dtype, tensor.data), shape }] as const;
  });
  return { tensors: new Map(tensors), metadata };
}

/** Where the tensors of a file lie, all checked. The entries' offsets count from the file's first byte. */
export function readIndex(bytes: Uint8Array): { entries: Entry[]; metadata: Map<string, string> } {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("a safetensors file is given as a Uint8Array of its bytes");
  if (bytes.byteLength < LENGTH_BYTES)
    throw broken(`it has ${bytes.byteLength} bytes, less than the length of a header`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > MOST_HEADER_BYTES)
    throw broken(`its header is said to have ${length} bytes, more than ${MOST_HEADER_BYTES}`);
  const dataStart = LENGTH_BYTES + Number(length);
  if (dataStart > bytes.byteLength) {
    throw broken(`its header is said to end at byte ${dataStart}, and it has ${bytes.byteLength}`);
  }
  const fields = parseHeader(bytes.subarray(LENGTH_BYTES, dataStart));
  const entries = fields.flatMap(([name, value]) => (name === METADATA ? [] : [entryOf(name, value)]));
  checkCover(entries, bytes.byteLength - dataStart);
  const metadata = fields.flatMap(([name, value]) => (name === METADATA ? notesOf(value) : []));
  return {
    entries: entries.map((entry) => ({ ...entry, start: dataStart + entry.start, end: dataStart + entry.end })),
    metadata: new Map(metadata),
  };
}

/** The header's fields, each name once. */
function parseHeader(bytes: Uint8Array): [name: string, value: unknown][] {
  let header: unknown;
  try {
    const text = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(bytes);
    checkNames(text);
    header = JSON.parse(text);
  } catch (cause) {
    throw broken(`its header is no JSON that it may have: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
  if (!isObject(header)) throw broken("its header is no object");
  return Object.entries(header);
}

function entryOf(name: string, value: unknown): Entry {
  const { dtype: dtypeName, shape, data_offsets: offsets } = isObject(value) ? value : {};
  const dtype = typeof dtypeName === "string" ? DTYPES.get(dtypeName) : undefined;
  if (!dtype) throw broken(`tensor "${name}" has the dtype ${dtypeName}: known are ${[...DTYPES.keys()].join(", ")}`);
  if (!isWholeList(shape) || shape.length > MOST_DIMENSIONS) throw broken(`tensor "${name}" has no shape`);
  if (!isWholeList(offsets) || offsets.length !== 2) throw broken(`tensor "${name}" has no two data_offsets`);
  const [start = 0, end = 0] = offsets;
  const bytes = countOf(shape) * bytesPerElement(dtype);
  if (end - start !== bytes) {
    throw broken(`tensor "${name}" of shape [${shape.join(", ")}] has bytes ${start} to ${end}, and needs ${bytes}`);
  }
  return { name, dtype, shape, start, end };
}

/** The tensors lie one behind the other and fill the data. */
function checkCover(entries: readonly Entry[], length: number): void {
  let at = 0;
  for (const { name, start, end } of [...entries].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== at)
      throw broken(`tensor "${name}" begins at byte ${start} of the data, and the one before ends at ${at}`);
    at = end;
  }
  if (at !== length) throw broken(`its tensors end at byte ${at} of the data, which has ${length}`);
}

function notesOf(value: unknown): [string, string][] {
  if (!isObject(value)) throw broken(`its ${METADATA} is no object`);
  return Object.entries(value).map(([key, text]) => {
    if (typeof text !== "string") throw broken(`its ${METADATA} has "${key}", which is no string`);
    return [key, text];
  });
}

/** Of two fields with one name JSON.parse would keep the last, and other readers the first. */
function checkNames(text: string): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") open.push(new Set());
    if (character === "}" || character === "]") open.pop();
    if (open.length > MOST_LEVELS) throw new TypeError("too many levels");
    if (character !== '"') continue;
    const start = at;
    for (at++; at < text.length && text[at] !== '"'; at++) if (text[at] === "\\") at++;
    if (!isName(text, at)) continue;
    const name = String(JSON.parse(text.slice(start, at + 1)));
    if (open.at(-1)?.has(name)) throw new TypeError(`the name ${JSON.stringify(name)} comes twice`);
    open.at(-1)?.add(name);
  }
}

/** Does a colon follow the string that ends at `end`? */
function isName(text: string, end: number): boolean {
  let next = end + 1;
  while (" \t\n\r".includes(text[next] ?? "-")) next++;
  return text[next] === ":";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isWholeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** The shape, if the tensor has as many elements. */
export function checkShape(name: string, shape: readonly number[], count: number): readonly number[] {
  if (!isWholeList(shape))
    throw new TypeError(`${name}: the shape must be a list of whole numbers, got ${String(shape)}`);
  if (countOf(shape) === count) return shape;
  throw new RangeError(`${name}: the shape [${shape.join(", ")}] has ${countOf(shape)} elements, not ${count}`);
}

function broken(why: string, cause?: unknown): TypeError {
  return new TypeError(`this is no safetensors file: ${why}`, { cause });
}
