/** Known lists: a list that is given again is not looked at anew, and whatever has changed about it is noticed. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkApart } from "../../src/group/claims.ts";
import { allReduceCoalesced } from "../../src/group/list-arguments.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { knownList } from "../../src/tensor/known-lists.ts";
import type { TensorView } from "../../src/tensor/view.ts";
import type { HostTensor, Tensor } from "../../src/types.ts";
import { isResizable, resizableBuffer } from "../helpers/resizable.ts";

type Bare = Float32Array | Int32Array | Uint32Array;
type Named = { data: Int32Array | Uint32Array | Float32Array; dtype: string };
type Drawn = Bare | Named;

/** A tensor that may change later: its kind, and how many elements it has. */
const drawnTensor = fc.tuple(fc.nat(4), fc.nat(5));

function tensorOf([kind, count]: [kind: number, count: number]): Drawn {
  if (kind === 0) return new Float32Array(count);
  if (kind === 1) return new Int32Array(new SharedArrayBuffer(4 * count + 8), 4, count);
  // Follows the length of its buffer.
  if (kind === 2) return new Int32Array(resizableBuffer(4 * count));
  if (kind === 3) return new Float32Array(resizableBuffer(4 * count), 0, count);
  return { data: new Int32Array(count), dtype: "i32" };
}

const dataOf = (one: Drawn) => ("data" in one ? one.data : one);

/** What may become of one tensor of a list. */
const CHANGES: Readonly<Record<string, (list: Drawn[], at: number) => void>> = {
  nothing: () => {},
  "another tensor": (list, at) => {
    list[at] = new Float32Array(dataOf(list[at]!).length);
  },
  "another view of the same memory": (list, at) => {
    list[at] = dataOf(list[at]!).subarray(0);
  },
  "another dtype": (list, at) => {
    const one = list[at]!;
    if ("data" in one) Object.assign(one, { data: new Float32Array(one.data.buffer), dtype: "f32" });
  },
  "a dtype that does not fit": (list, at) => {
    const one = list[at]!;
    if ("data" in one) one.dtype = "f64";
  },
  "another array": (list, at) => {
    const one = list[at]!;
    if ("data" in one) one.data = new Int32Array(one.data.length);
  },
  "a buffer of another length": (list, at) => {
    const { buffer } = dataOf(list[at]!);
    if (isResizable(buffer)) buffer.resize(buffer.byteLength + 8);
  },
  "a buffer that is gone": (list, at) => {
    const { buffer } = dataOf(list[at]!);
    if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
  },
  "a buffer that is too short": (list, at) => {
    const { buffer } = dataOf(list[at]!);
    if (isResizable(buffer)) buffer.resize(0);
  },
  "no tensor": (list, at) => {
    list[at] = [1] as unknown as Drawn;
  },
  "one tensor less": (list) => {
    list.pop();
  },
  "one tensor more": (list) => {
    list.push(new Float32Array(2));
  },
  "another order": (list) => {
    list.reverse();
  },
  "one tensor twice": (list, at) => {
    list[(at + 1) % list.length] = list[at]!;
  },
};

/** The views of a list, or the class of the error that a tensor of it is. */
function lookedAtAnew(list: readonly Drawn[]): TensorView[] | ErrorConstructor {
  try {
    return list.map(viewOf);
  } catch (error) {
    return (error as Error).constructor as ErrorConstructor;
  }
}

const asTold = (views: readonly object[]) => views.map((view) => ({ ...view }));

const listOf = (list: readonly unknown[]) => knownList(list, "tensors", (views) => checkApart([], views));

describe("knownList()", () => {
  it("is what each tensor is, whatever has become of one of them", () => {
    const lists = fc.array(drawnTensor, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(lists, fc.constantFrom(...Object.keys(CHANGES)), fc.nat(), (drawn, change, place) => {
        const list = drawn.map(tensorOf);
        const before = listOf(list);
        expect(asTold(before.views)).toEqual(asTold(list.map(viewOf)));
        if (list.every((one) => dataOf(one).length > 0)) expect(listOf([...list])).toBe(before);
        CHANGES[change]!(list, place % list.length);
        const wanted = lookedAtAnew(list);
        const again = () => listOf(list);
        if (!Array.isArray(wanted)) {
          expect(again).toThrow(wanted);
          expect(again).toThrow(/^tensors\[\d\]: /);
        } else if (list.some((one, i) => list.indexOf(one) !== i && dataOf(one).length > 0)) {
          expect(again).toThrow(/share memory/);
        } else {
          const { views, dtypes } = again();
          expect(asTold(views)).toEqual(asTold(wanted));
          expect(dtypes).toEqual([...new Set(wanted.map(({ dtype }) => dtype))]);
          expect(asTold(again().views)).toEqual(asTold(views));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("looks at no bare array of a list that it knows, beyond its length", () => {
    let looks = 0;
    const list: Tensor[] = Array.from({ length: 100 }, () => {
      const array = new Float32Array(16);
      const { buffer } = array;
      return Object.defineProperty(array, "buffer", {
        get: () => {
          looks++;
          return buffer;
        },
      });
    });
    const request = () => allReduceCoalesced(list, {}).request as { tensors: readonly object[] };
    const { tensors } = request();
    expect(looks).toBe(100);
    for (let i = 0; i < 10; i++) expect(request().tensors).toBe(tensors);
    expect(looks).toBe(100);
    list[50] = new Float32Array(16);
    expect(request().tensors).not.toBe(tensors);
    expect(looks).toBe(199);
  });

  it("names the dtype of a named tensor that was changed to one that does not fit", () => {
    const named: HostTensor = { data: new Int32Array(2), dtype: "i32" };
    const list = [named, new Float32Array(1)];
    listOf(list);
    Object.assign(named, { dtype: "f32" });
    expect(() => listOf(list)).toThrow(/tensors\[0\]: a f32 tensor holds its elements in a Float32Array/);
  });
});
