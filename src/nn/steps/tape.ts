/**
 * Tape: what one differentiable call has to work with, and the tensors that it made. A tape belongs to one forward call or to one
 * call of a pullback; memory of the GPU that its steps need later is kept until the tape is freed.
 */
import { Elementwise } from "../../elementwise/elementwise.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import type { Turn } from "../../group/turns.ts";
import type { CollectiveOptions } from "../../options.ts";
import type { Tensor } from "../../types.ts";

/** The options of a call that hold for its pullback's collectives too. */
export type LastingOptions = Pick<CollectiveOptions, "timeoutMs" | "signal">;

/** See the file's head. */
export class Tape {
  readonly group: ProcessGroup;
  readonly lasting: LastingOptions;
  /** The lasting options, as those of a part of this call. */
  readonly options: CollectiveOptions;
  readonly math: Elementwise;
  readonly #made = new Set<Tensor>();

  constructor(group: ProcessGroup, lasting: LastingOptions, turn: Turn) {
    this.group = group;
    this.lasting = lasting;
    this.options = { ...lasting, ...turn.part };
    this.math = new Elementwise(group.device, (tensor) => this.#made.add(tensor));
  }

  /** `tensor`, as one that the caller owns: a copy, unless this tape made it and has not given it away. */
  give(tensor: Tensor): Tensor {
    return this.#made.delete(tensor) ? tensor : this.copyOf(tensor);
  }

  /** A copy that the caller owns. */
  copyOf(tensor: Tensor): Tensor {
    const copy = this.math.cloneOf(tensor);
    this.#made.delete(copy);
    return copy;
  }

  /** Destroys the GPUBuffers that the tape made and has not given away. */
  free(): void {
    for (const tensor of this.#made) if ("buffer" in tensor && "dtype" in tensor) tensor.buffer.destroy();
    this.#made.clear();
  }
}
