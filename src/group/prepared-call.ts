/** PreparedCall: a call of this rank whose arguments are checked. */
import type { Request } from "../request.ts";
import type { TensorView } from "../tensor/view.ts";

/** A checked call, ready to run. */
export interface PreparedCall<T> {
  request: Request;
  /** Tensors the call reads, and those it writes. */
  read?: readonly TensorView[];
  written?: readonly TensorView[];
  /** The Work's value. */
  value: (source: number | undefined) => T;
  /** Why this rank cannot make the call, though its arguments are of the right kind. */
  obstacle?: Error;
}
