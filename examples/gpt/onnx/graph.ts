/** Writes ONNX files, operator by operator, with the messages of `onnx-proto`. */
import onnxProto from "onnx-proto";

const { onnx } = onnxProto;
const { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } = onnx;

/** Of the standard operators: the first in which LayerNormalization is one. */
const OPSET = 17;
/** Of the file's format: the one that goes with that. */
const IR_VERSION = 8;

const FLOAT = TensorProto.DataType.FLOAT;
const INT64 = TensorProto.DataType.INT64;

/** A tensor inside a file. */
export interface OnnxTensor {
  tensor: Float32Array;
  shape: readonly number[];
}

/** A graph in the making. Its functions give the name of an operator's output, which goes into the next. */
export class Graph {
  readonly #nodes: InstanceType<typeof NodeProto>[] = [];
  readonly #initializers: InstanceType<typeof TensorProto>[] = [];
  readonly #inputs: InstanceType<typeof ValueInfoProto>[] = [];
  readonly #names = new Set<string>();

  /** Dims that are words may differ from run to run. */
  input(name: string, type: "float32" | "int64", dims: readonly (number | string)[]): string {
    this.#inputs.push(valueInfo(name, type === "float32" ? FLOAT : INT64, dims));
    return name;
  }

  /** A weight, or another tensor that is the same in each run. */
  floats(name: string, { tensor, shape }: OnnxTensor): string {
    if (this.#names.has(name)) return name;
    const rawData = new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength);
    this.#initializers.push(TensorProto.create({ name, dims: [...shape], dataType: FLOAT, rawData }));
    this.#names.add(name);
    return name;
  }

  /** Whole numbers, such as the shape that Reshape takes. */
  ints(...values: number[]): string {
    const name = `ints ${values}`;
    if (!this.#names.has(name)) {
      const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
      this.#initializers.push(TensorProto.create({ name, dims: [values.length], dataType: INT64, rawData }));
      this.#names.add(name);
    }
    return name;
  }

  /** The only output of an operator; attributes are whole numbers, lists of them, or a number with a fraction. */
  run(operator: string, inputs: readonly string[], attributes: Record<string, number | number[]> = {}): string {
    return this.runMany(operator, inputs, 1, attributes)[0]!;
  }

  /** The outputs of an operator that has several. */
  runMany(
    operator: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Record<string, number | number[]> = {},
  ): string[] {
    const names = Array.from({ length: outputs }, (_, i) => `${operator} ${this.#nodes.length}.${i}`);
    const attribute = Object.entries(attributes).map(([name, value]) => {
      const { FLOAT: F, INT, INTS } = AttributeProto.AttributeType;
      if (Array.isArray(value)) return AttributeProto.create({ name, type: INTS, ints: value });
      if (Number.isInteger(value)) return AttributeProto.create({ name, type: INT, i: value });
      return AttributeProto.create({ name, type: F, f: value });
    });
    this.#nodes.push(NodeProto.create({ opType: operator, input: [...inputs], output: names, attribute }));
    return names;
  }

  /** The bytes of the file, whose output `value` is called `output`; with notes that readers of the file find by name. */
  encode(
    output: string,
    value: string,
    dims: readonly (number | string)[],
    notes: Readonly<Record<string, string>> = {},
  ): Uint8Array<ArrayBuffer> {
    this.#nodes.push(NodeProto.create({ opType: "Identity", input: [value], output: [output] }));
    const graph = GraphProto.create({
      ...{ name: "gpt", node: this.#nodes, initializer: this.#initializers },
      ...{ input: this.#inputs, output: [valueInfo(output, FLOAT, dims)] },
    });
    const metadataProps = Object.entries(notes).map(([key, text]) => ({ key, value: text }));
    const opsetImport = [{ domain: "", version: OPSET }];
    return Uint8Array.from(
      ModelProto.encode({ irVersion: IR_VERSION, producerName: "webccl", graph, opsetImport, metadataProps }).finish(),
    );
  }
}

function valueInfo(name: string, elemType: number, dims: readonly (number | string)[]) {
  const dim = dims.map((one) => (typeof one === "number" ? { dimValue: one } : { dimParam: one }));
  return ValueInfoProto.create({ name, type: { tensorType: { elemType, shape: { dim } } } });
}

/**
 * The floating-point tensors in a file by name, and its notes.
 * @throws Error if the bytes are no ONNX file.
 */
export function readOnnx(file: Uint8Array): { tensors: Map<string, OnnxTensor>; notes: Map<string, string> } {
  const { graph, metadataProps } = ModelProto.decode(file);
  const floats = (graph?.initializer ?? []).filter(({ dataType }) => dataType === FLOAT);
  const tensors = floats.map(({ name, dims, rawData }) => {
    const tensor = new Float32Array(Uint8Array.from(rawData ?? []).buffer);
    return [name ?? "", { tensor, shape: (dims ?? []).map(Number) }] as const;
  });
  const notes = metadataProps.map(({ key, value }) => [key ?? "", value ?? ""] as const);
  return { tensors: new Map(tensors), notes: new Map(notes) };
}
