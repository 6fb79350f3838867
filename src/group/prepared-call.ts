/** PreparedCall: a call of this rank whose arguments are checked. */
import type { Call, PersistentRun } from "../backend/backend.ts";
import type { Request } from "../request.ts";
import type { TensorView } from "../tensor/view.ts";
import type { Work } from "./work.ts";

/** What the making of a persistent call and its starts have in common. */
export interface Persistent {
  /** The number of the making; 0 before it. */
  sequence: number;
  /** The Work of starts that ended before they returned, once there was one. */
  done: Work<unknown> | null;
  /** Makes it if that is what `call` is to do, else starts it. */
  run(call: Call): PersistentRun["made"];
}

/** A checked call, ready to run. */
export interface PreparedCall<T> {
  request: Request;
  /** Tensors the call reads, and those it writes. */
  read?: readonly TensorView[];
  written?: readonly TensorView[];
  /** The Work's value. */
  value: (source: number | undefined) => T;
  /** The error that the caller gets in place of one with which the call ended. Default: that one. */
  failure?: (error: Error) => Error;
  /** Why this rank cannot make the call, though its arguments are of the right kind. */
  obstacle?: Error;
  /** The persistent call that this one makes or starts. */
  persistent?: Persistent;
}
