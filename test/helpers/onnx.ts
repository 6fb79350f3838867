/**
 * Small ONNX models, written as protobuf: the few fields of onnx.proto (https://github.com/onnx/onnx) that such a model has.
 */

/** The codes of element types in TensorProto.DataType. */
const TYPE_CODES = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10 } as const;

/** Element types that these models have. */
export type OnnxType = keyof typeof TYPE_CODES;

/** An input or output of a model. A length that is a word may differ from run to run. */
export interface OnnxValue {
  name: string;
  type: OnnxType;
  shape: readonly (number | string)[];
}

/** One operator of the standard domain. */
export interface OnnxNode {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Whole numbers. */
  attributes?: Readonly<Record<string, number>>;
}

export interface OnnxModel {
  nodes: readonly OnnxNode[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
}

/** The bytes of a `.onnx` file. */
export function encodeOnnx({ nodes, inputs, outputs }: OnnxModel): Uint8Array<ArrayBuffer> {
  const graph = message(
    ...nodes.map((node) => field(1, encodeNode(node))),
    field(2, "graph"),
    ...inputs.map((value) => field(11, encodeValue(value))),
    ...outputs.map((value) => field(12, encodeValue(value))),
  );
  const operators = message(field(1, ""), field(2, 17));
  return message(field(1, 8), field(7, graph), field(8, operators));
}

function encodeNode({ op, inputs, outputs, attributes = {} }: OnnxNode): Uint8Array<ArrayBuffer> {
  const INT = 2;
  return message(
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(4, op),
    ...Object.entries(attributes).map(([name, value]) =>
      field(5, message(field(1, name), field(3, value), field(20, INT))),
    ),
  );
}

function encodeValue({ name, type, shape }: OnnxValue): Uint8Array<ArrayBuffer> {
  const lengths = shape.map((length) => field(1, message(field(typeof length === "number" ? 1 : 2, length))));
  const tensorType = message(field(1, TYPE_CODES[type]), field(2, message(...lengths)));
  return message(field(1, name), field(2, message(field(1, tensorType))));
}

/** A field of a message: a number as a varint, all else with its length in front. */
function field(number: number, value: number | string | Uint8Array<ArrayBuffer>): number[] {
  if (typeof value === "number") return [...varint(number * 8), ...varint(value)];
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

function message(...fields: number[][]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(fields.flat());
}

/** Seven bits a byte, the lowest first; all but the last byte have the top bit. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}
