/**
 * Pickle: plain values in Python's pickle format, protocol 2, to be read by tools for PyTorch. webccl writes pickles and never
 * reads one: to read a foreign pickle is to run its program.
 *
 * Source: the opcodes of CPython's Lib/pickletools.py.
 */

/** A tuple, where a list is another value to its reader. */
export class Tuple {
  readonly items: readonly Picklable[];

  constructor(...items: readonly Picklable[]) {
    this.items = items;
  }
}

/** Numbers that are whole become ints, others floats. */
export type Picklable =
  | null
  | boolean
  | number
  | bigint
  | string
  | Tuple
  | readonly Picklable[]
  | { readonly [key: string]: Picklable };

const encoder = new TextEncoder();

/** The bytes of a pickle of `value`. */
export function pickle(value: Picklable): Uint8Array {
  const bytes: number[] = [0x80, 2];
  write(bytes, value);
  bytes.push(0x2e);
  return Uint8Array.from(bytes);
}

function write(bytes: number[], value: Picklable): void {
  if (value === null) bytes.push(0x4e);
  else if (typeof value === "boolean") bytes.push(value ? 0x88 : 0x89);
  else if (typeof value === "number")
    Number.isSafeInteger(value) ? writeInteger(bytes, BigInt(value)) : writeFloat(bytes, value);
  else if (typeof value === "bigint") writeInteger(bytes, value);
  else if (typeof value === "string") writeText(bytes, value);
  else if (value instanceof Tuple) {
    bytes.push(0x28);
    for (const item of value.items) write(bytes, item);
    bytes.push(0x74);
  } else if (isList(value)) {
    bytes.push(0x5d, 0x28);
    for (const item of value) write(bytes, item);
    bytes.push(0x65);
  } else {
    bytes.push(0x7d, 0x28);
    for (const [key, item] of Object.entries(value)) {
      writeText(bytes, key);
      write(bytes, item);
    }
    bytes.push(0x75);
  }
}

const isList = (value: object): value is readonly Picklable[] => Array.isArray(value);

/** BININT in 32 bits, else LONG1 in as many bytes of two's complement as it takes. */
function writeInteger(bytes: number[], value: bigint): void {
  if (BigInt.asIntN(32, value) === value) {
    bytes.push(0x4a, ...littleEndian(value, 4));
    return;
  }
  let length = 5;
  while (BigInt.asIntN(8 * length, value) !== value) length++;
  bytes.push(0x8a, length, ...littleEndian(value, length));
}

function writeFloat(bytes: number[], value: number): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  bytes.push(0x47, ...new Uint8Array(view.buffer));
}

function writeText(bytes: number[], text: string): void {
  const utf8 = encoder.encode(text);
  bytes.push(0x58, ...littleEndian(BigInt(utf8.length), 4));
  for (const byte of utf8) bytes.push(byte);
}

function littleEndian(value: bigint, length: number): number[] {
  return Array.from({ length }, (_, index) => Number(BigInt.asUintN(8, value >> BigInt(8 * index))));
}
