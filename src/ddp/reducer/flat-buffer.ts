/** FlatBuffer: memory of its own for several tensors of one dtype, one behind the other. */
import { Elementwise } from "../../elementwise/elementwise.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { partOfTensor } from "../../tensor/part.ts";
import type { GpuView, HostView } from "../../tensor/view.ts";
import type { Tensor } from "../../types.ts";
import { allocateLike, clear, copy, formedLike, free, paddedCount } from "./memory.ts";

/**
 * A flat tensor with one part for each of the tensors it is made for. Each part begins at a whole word of 4 bytes, as it must
 * in a GPUBuffer, in host memory too: so ranks with either memory have the same count. Elements between parts are zero.
 */
export class FlatBuffer {
  /** All parts, and the padding. */
  readonly tensor: Tensor;
  readonly count: number;
  /** The first element of each part. */
  readonly offsets: readonly number[];
  readonly #group: ProcessGroup;
  readonly #views: readonly (HostView | GpuView)[];

  /** For tensors like `views`, all of one dtype and in one kind of memory. The count is a multiple of `multiple`. */
  constructor(group: ProcessGroup, views: readonly (HostView | GpuView)[], multiple = 1) {
    const [first] = views;
    if (!first) throw new RangeError("a flat buffer of no tensors");
    let end = 0;
    this.offsets = views.map(({ dtype, count }) => {
      const offset = end;
      end += paddedCount(dtype, count);
      return offset;
    });
    this.count = Math.ceil(end / multiple) * multiple;
    this.tensor = allocateLike(group, first, this.count);
    this.#group = group;
    this.#views = views;
  }

  /** Part `i`, in the form of the tensor it is made for. */
  part(i: number): Tensor {
    const view = this.#viewOf(i);
    const part = partOfTensor(this.tensor, this.offsets[i] ?? 0, view.count);
    return view.memory === "host" ? formedLike(view, part) : part;
  }

  /** `tensor` becomes part `i`. */
  write(i: number, tensor: Tensor): void {
    copy(this.#group, tensor, this.part(i));
  }

  /** `tensor` is added to part `i`. */
  add(i: number, tensor: Tensor): void {
    const part = this.part(i);
    new Elementwise(this.#group.device).add(part, tensor, part);
  }

  /** `tensor` gets the elements of part `i`. */
  read(i: number, tensor: Tensor): void {
    copy(this.#group, this.part(i), tensor);
  }

  /** All of `tensor`, which has this count, becomes the content. */
  replace(tensor: Tensor): void {
    copy(this.#group, tensor, this.tensor);
  }

  /** Part `i` becomes zero. */
  clear(i: number): void {
    clear(this.#group, this.part(i));
  }

  /** Frees the memory. */
  destroy(): void {
    free(this.tensor);
  }

  #viewOf(i: number): HostView | GpuView {
    const view = this.#views[i];
    if (!view) throw new RangeError(`part ${i} of a flat buffer that has ${this.#views.length}`);
    return view;
  }
}
