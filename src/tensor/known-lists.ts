/**
 * Known lists: programs give the same list of tensors again and again, and to look at a hundred short tensors anew takes longer than
 * to reduce them. So what a list is, is remembered as long as its first tensor lives, or until that begins another one; its tensors live as long.
 */
import type { DataType, HostTensor } from "../types.ts";
import { describeList } from "./describe.ts";
import type { TensorView } from "./view.ts";

/** A list of tensors. */
export interface KnownList {
  readonly views: readonly TensorView[];
  /** Each dtype that it has. */
  readonly dtypes: readonly DataType[];
}

const known = new WeakMap<object, KnownList>();

/**
 * What the list `name` is, once `check` has passed it: without another look, and the very object that an earlier call got, where every tensor is
 * in host memory and the one that it was, of that dtype and length. All callers have the same check.
 * @throws TypeError or RangeError that names a tensor which is none; what `check` throws.
 */
export function knownList(
  tensors: readonly unknown[],
  name: string,
  check: (views: readonly TensorView[]) => void,
): KnownList {
  const before = known.get(tensors[0] as object);
  if (before && isUnchanged(before, tensors)) return before;
  const views = describeList(tensors, name);
  check(views);
  const list = { views, dtypes: [...new Set(views.map(({ dtype }) => dtype))] };
  if (views[0] && isUnchanged(list, tensors)) known.set(views[0].tensor, list);
  return list;
}

/**
 * Are these the tensors of the list still? An array keeps its buffer and its first byte for life, and its length tells whether its memory
 * has another size; not so if it is empty. Whether its memory is gone the buffer tells: once V8 11.3 (Node 20) has compiled this, and has seen
 * arrays over resizable buffers here, it may give the old length of an array that was detached. An ort.Tensor has no dtype, and its `data` throws once it is disposed of.
 */
function isUnchanged({ views }: KnownList, tensors: readonly unknown[]): boolean {
  for (let i = 0; i < views.length; i++) {
    const view = views[i]!;
    const { tensor, dtype, count } = view;
    if (tensor !== tensors[i] || view.memory !== "host" || !count || view.data.length !== count) return false;
    if (!view.buffer.byteLength) return false;
    const named = tensor as HostTensor;
    if (view.data !== tensor && (named.dtype !== dtype || named.data !== view.data)) return false;
  }
  return views.length === tensors.length;
}
