/** A program of one rank that gives lists again and again, and changes them in between. Every rank draws the same. */
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { HostArray, Tensor } from "../../src/types.ts";
import { isResizable, resizableBuffer } from "../helpers/resizable.ts";

const CLASSES = [Uint8Array, Int16Array, Int32Array, BigInt64Array, Float32Array, Float64Array] as const;
const NAMES = ["u8", "i16", "i32", "i64", "f32", "f64"] as const;
const COUNTS = [0, 1, 3, 5, 16, 16, 100, 3_000] as const;
const OPS = ["sum", "min", "max"] as const;
type Op = (typeof OPS)[number];

const dataOf = (tensor: Tensor) => ("data" in tensor ? tensor.data : tensor) as HostArray;

/** Small whole numbers, by rank, tensor, index and round: every dtype holds them and their sums. */
const elementOf = (rank: number, item: number, i: number, round: number) => (rank * 3 + item + i * 2 + round) % 5;

function fill(tensor: Tensor, rank: number, item: number, round: number): void {
  const data = dataOf(tensor) as Float64Array;
  const isBig = (data as unknown) instanceof BigInt64Array;
  for (let i = 0; i < data.length; i++) {
    const value = elementOf(rank, item, i, round);
    data[i] = (isBig ? BigInt(value) : value) as number;
  }
}

/** The number of elements that are not as `wanted` says. */
function wrongIn(tensor: Tensor, wanted: (i: number) => number): number {
  const data = dataOf(tensor) as Float64Array;
  let wrong = 0;
  for (let i = 0; i < data.length; i++) if (Number(data[i]) !== wanted(i)) wrong++;
  return wrong;
}

/** See the file's head. Returns what was wrong, each in words. */
export async function giveListsAgain(group: ProcessGroup, seed: number, rounds: number): Promise<string[]> {
  const random = new SeededRandom(seed, "lists");
  const below = (bound: number) => random.u32() % bound;
  const oneOf = <T>(values: readonly T[]) => values[below(values.length)] as T;
  const { rank, size } = group;

  /** In memory of the group, in an array of the caller's, one whose buffer has another length later, or one that names its dtype. */
  const newTensor = (kind = below(CLASSES.length), count: number = oneOf(COUNTS)): Tensor => {
    const place = below(4);
    if (place === 0) return group.alloc(NAMES[kind]!, count);
    const Class = CLASSES[kind]!;
    if (place === 1) return new Class(count);
    if (place === 2) return new Class(resizableBuffer(count * Class.BYTES_PER_ELEMENT));
    return { data: new Class(count), dtype: NAMES[kind]! } as Tensor;
  };
  const newList = () => {
    const kind = below(CLASSES.length);
    const isMixed = below(3) === 0;
    return Array.from({ length: 1 + below(30) }, () => newTensor(isMixed ? undefined : kind));
  };

  const change = (list: Tensor[]): void => {
    const at = below(list.length);
    const which = below(8);
    if (which === 0) list[at] = newTensor();
    else if (which === 1) list.push(newTensor());
    else if (which === 2 && list.length > 1) list.splice(at, 1);
    else if (which === 3) list.reverse();
    else if (which === 4) {
      const { buffer, BYTES_PER_ELEMENT: width } = dataOf(list[at]!);
      if (isResizable(buffer)) buffer.resize(oneOf(COUNTS) * width);
    }
  };

  const wrong: string[] = [];
  /** A call that every rank's arguments forbid. */
  const isRefused = async (list: readonly Tensor[], why: RegExp, round: number) => {
    const error = await group.allReduceAll(list).then(() => "it was not", String);
    if (!why.test(error)) wrong.push(`round ${round}: refused with ${why}: ${error}`);
  };
  const mistakes = async (list: Tensor[], round: number): Promise<void> => {
    const at = below(list.length);
    const { buffer } = dataOf(list[at]!);
    if (below(2) === 0 && dataOf(list[at]!).length > 0) await isRefused([...list, list[at]!], /share memory/, round);
    if (below(3) > 0 || !(buffer instanceof ArrayBuffer)) return;
    structuredClone(buffer, { transfer: [buffer] });
    await isRefused(list, /detached/, round);
    list[at] = newTensor();
  };

  const folded = (op: Op, item: number, i: number, round: number) => {
    const values = Array.from({ length: size }, (_, of) => elementOf(of, item, i, round));
    return op === "sum" ? values.reduce((a, b) => a + b) : Math[op](...values);
  };
  const reduces = async (list: readonly Tensor[], op: Op, isBatch: boolean, round: number) => {
    for (const [item, tensor] of list.entries()) fill(tensor, rank, item, round);
    const call = () => group.allReduceAll([...list], { op });
    const batch = () =>
      group.coalesce(() => {
        for (const tensor of list) group.allReduce(tensor, { op });
      });
    await (isBatch ? batch() : call());
    list.forEach((tensor, item) => {
      const count = wrongIn(tensor, (i) => folded(op, item, i, round));
      if (count > 0)
        wrong.push(`round ${round}: ${count} of ${op}, tensor ${item} of ${list.length}, batch ${isBatch}`);
    });
  };
  const broadcasts = async (list: readonly Tensor[], root: number, round: number) => {
    for (const [item, tensor] of list.entries()) fill(tensor, rank, item, round);
    await group.broadcastAll(list, { root });
    list.forEach((tensor, item) => {
      const count = wrongIn(tensor, (i) => elementOf(root, item, i, round));
      if (count > 0) wrong.push(`round ${round}: ${count} of the broadcast, tensor ${item} of ${list.length}`);
    });
  };

  const lists = [newList(), newList()];
  for (let round = 0; round < rounds; round++) {
    const list = oneOf(lists);
    if (below(2) === 0) change(list);
    if (below(8) === 0) await mistakes(list, round);
    const which = below(4);
    if (which === 0) await broadcasts(list, below(size), round);
    else await reduces(list, oneOf(OPS), which === 1, round);
  }
  return wrong;
}
