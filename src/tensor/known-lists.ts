/**
 * Known lists: programs give the same list of tensors again and again, and to look at a hundred short tensors anew takes longer than
 * to reduce them. So what a list is, is remembered as long as its first tensor lives.
 */
import type { DataType, HostArray, HostTensor } from "../types.ts";
import { describeList } from "./describe.ts";
import { isSameView, type TensorView } from "./view.ts";

/** A list of tensors. */
export interface KnownList {
  readonly views: readonly TensorView[];
  /** Each dtype that it has. */
  readonly dtypes: readonly DataType[];
  /** The array of each tensor in host memory. */
  readonly arrays: readonly unknown[];
}

const known = new WeakMap<object, KnownList>();

/**
 * What the list `name` is, once `check` has passed it: the very object that an earlier call got, without a check, if every tensor is the
 * one that it was, of that dtype, length and memory. All callers have the same check.
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
  if (before?.views.length === views.length && views.every((view, i) => isSameView(view, before.views[i]!))) {
    return before;
  }
  check(views);
  const arrays = views.map((view) => (view.memory === "host" ? arrayOf(view.tensor) : null));
  const list = { views, dtypes: [...new Set(views.map(({ dtype }) => dtype))], arrays };
  if (views[0]) known.set(views[0].tensor, list);
  return list;
}

const arrayOf = (tensor: unknown) => (ArrayBuffer.isView(tensor) ? tensor : (tensor as { data?: unknown }).data);

/**
 * Are these the tensors of the list still? An array keeps its buffer and its first byte for life, and its length tells whether its memory
 * is gone or has another size. True for lists in host memory alone, and not where one is empty: such an array may be gone.
 */
function isUnchanged({ views, arrays }: KnownList, tensors: readonly unknown[]): boolean {
  if (views.length !== tensors.length) return false;
  for (let i = 0; i < views.length; i++) {
    const { tensor, dtype, count } = views[i]!;
    const array = arrays[i];
    if (tensor !== tensors[i] || count === 0 || !ArrayBuffer.isView(array)) return false;
    if ((array as HostArray).length !== count) return false;
    // First the dtype, which an ort.Tensor lacks: its `data` throws once it is disposed of.
    if (array !== tensor && ((tensor as HostTensor).dtype !== dtype || (tensor as HostTensor).data !== array))
      return false;
  }
  return true;
}
