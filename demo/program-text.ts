/** The program of each tab as text: what somebody writes to make the same call in a page of their own. */
import type { Order } from "./measure.ts";

/** What the program depends on. */
export type Chosen = Pick<Order, "collective" | "op" | "dtype" | "memory" | "maxBytes">;

/** The tensors of a call, in their lengths as text, and the call itself. */
interface Call {
  readonly tensors: readonly (readonly [name: string, length: string])[];
  readonly text: string;
}

/** By collective. `count` elements are the tensor, or a rank's share of it. */
const CALLS: Readonly<Record<string, (op: string) => Call>> = {
  all_reduce: (op) => ({ tensors: [["tensor", "count"]], text: `group.allReduce(tensor, { op: "${op}" })` }),
  all_gather: () => ({
    tensors: [
      ["output", "count * group.size"],
      ["input", "count"],
    ],
    text: "group.allGatherIntoTensor(output, input)",
  }),
  reduce_scatter: (op) => ({
    tensors: [
      ["output", "count"],
      ["input", "count * group.size"],
    ],
    text: `group.reduceScatterTensor(output, input, { op: "${op}" })`,
  }),
  broadcast: () => ({ tensors: [["tensor", "count"]], text: "group.broadcast(tensor, { root: 0 })" }),
  reduce: (op) => ({ tensors: [["tensor", "count"]], text: `group.reduce(tensor, { op: "${op}", root: 0 })` }),
  gather: () => ({
    tensors: [["input", "count"]],
    text: "group.gather(group.rank === 0 ? outputs : null, input, { root: 0 })",
  }),
  scatter: () => ({
    tensors: [["output", "count"]],
    text: "group.scatter(output, group.rank === 0 ? inputs : null, { root: 0 })",
  }),
  all_to_all: () => ({
    tensors: [
      ["output", "count * group.size"],
      ["input", "count * group.size"],
    ],
    text: "group.allToAllSingle(output, input)",
  }),
  sendrecv: () => ({
    tensors: [
      ["input", "count"],
      ["output", "count"],
    ],
    text: "Promise.all([group.send(input, next), group.recv(output, previous)])",
  }),
};

/** Lines before the call that need neighbours or lists of tensors. */
const BEFORE: Readonly<Record<string, (make: (length: string) => string) => readonly string[]>> = {
  gather: (make) => [`const outputs = Array.from({ length: group.size }, () => ${make("count")});`],
  scatter: (make) => [`const inputs = Array.from({ length: group.size }, () => ${make("count")});`],
  sendrecv: () => [
    "const next = (group.rank + 1) % group.size;",
    "const previous = (group.rank + group.size - 1) % group.size;",
  ],
};

/** Collectives whose tensors are cut into a share for each rank. */
const SHARED: ReadonlySet<string> = new Set(["all_gather", "reduce_scatter", "gather", "scatter", "all_to_all"]);

/** The program; `address` is the hub's, and `ranks` how many there are. */
export function programText(
  { collective, op, dtype, memory, maxBytes }: Chosen,
  address: string,
  ranks: number,
): string {
  const onGpu = memory === "webgpu";
  const elements = maxBytes / ELEMENT_BYTES[dtype];
  const count = SHARED.has(collective) ? `Math.floor(${grouped(elements)} / group.size)` : grouped(elements);
  const make = (length: string) => (onGpu ? `onGpu(${length})` : `group.alloc("${dtype}", ${length})`);
  const call = CALLS[collective]?.(op);
  if (!call) throw new RangeError(`there is no program of ${collective}`);
  return [
    `import { ${onGpu ? "GPUBufferUsage, " : ""}initProcessGroup } from "webccl";`,
    "",
    "const group = await initProcessGroup({",
    `  initMethod: "${address}/my-group", worldSize: ${ranks},`,
    "});",
    `const count = ${count}; // elements`,
    ...(onGpu ? gpuMaker(dtype) : []),
    ...call.tensors.map(([name, length]) => `const ${name} = ${make(length)};`),
    ...(BEFORE[collective]?.(make) ?? []),
    `await ${call.text};`,
  ].join("\n");
}

function gpuMaker(dtype: Order["dtype"]): string[] {
  return [
    "const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;",
    "const onGpu = (count) => {",
    `  const size = count * ${ELEMENT_BYTES[dtype]};`,
    "  const usage = STORAGE | COPY_SRC | COPY_DST;",
    "  const buffer = group.device.createBuffer({ size, usage });",
    `  return { buffer, dtype: "${dtype}", count };`,
    "};",
  ];
}

const ELEMENT_BYTES: Readonly<Record<Order["dtype"], number>> = {
  ...{ i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, f32: 4, i64: 8, u64: 8, f64: 8 },
};

/** 262_144 */
const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, "_");
