/** DdpLoggingData: what a Reducer tells of itself and of its last steps. Source: torch's `_get_ddp_logging_data`. */
import { now } from "../../support/clock.ts";

/** Sizes are in bytes, times in milliseconds of this rank; a time is 0 before the first step has ended. */
export interface DdpLoggingData {
  /** This rank in the group. */
  rank: number;
  /** How many ranks the group has. */
  worldSize: number;
  /** The backend of the group. */
  backendName: string;
  /** Steps that were reduced. Those within `noSync` do not count. */
  iteration: number;
  /** How many parameters there are. */
  numParameterTensors: number;
  /** Bytes of all parameters. */
  totalParameterSizeBytes: number;
  /** The dtypes of the parameters, each once. */
  dtypes: string[];
  /** Most bytes of a bucket; a parameter that is longer has one of its own. */
  bucketCapBytes: number;
  /** The same of the first bucket. */
  firstBucketBytes: number;
  /** Bytes of each bucket. */
  bucketSizesBytes: number[];
  /** The parameters of each bucket. */
  perBucketParamIndices: number[][];
  /** Were the buckets made anew, in the order in which gradients come? */
  hasRebuiltBuckets: boolean;
  /** Empty before the buckets are rebuilt, which they are once, after the first step; never with `findUnusedParameters`. */
  rebuiltBucketSizesBytes: number[];
  /** The parameters of each rebuilt bucket. */
  rebuiltPerBucketParamIndices: number[][];
  /** How many buckets a step reduces. */
  numBucketsReduced: number;
  /** The option of this name. */
  findUnusedParameters: boolean;
  /** Bytes of the parameters that this rank did not use in the last step. */
  unusedParameterSizeBytes: number;
  /** The option of this name. */
  gradientAsBucketView: boolean;
  /** The order in which the last step's gradients were marked. */
  prevIterationGradReadyOrderIndices: number[];
  /** The hook's name, or "" for the Reducer's own allReduce. */
  commHook: string;
  /** Has a `join` been used? */
  joinUnevenInputs: boolean;
  /** From `prepareForBackward` to the last gradient. */
  backwardComputeTimeMs: number;
  /** From the first bucket that was fired to the end of the last one. */
  backwardCommTimeMs: number;
  /** The part of both that was at the same time. */
  backwardComputeCommOverlapTimeMs: number;
  /** The mean of `backwardComputeTimeMs` over the steps. */
  avgBackwardComputeTimeMs: number;
  /** The mean of `backwardCommTimeMs` over the steps. */
  avgBackwardCommTimeMs: number;
  /** The mean of `backwardComputeCommOverlapTimeMs` over the steps. */
  avgBackwardComputeCommOverlapTimeMs: number;
  /** The message of the last step's error, or null if it went well. */
  error: string | null;
}

/** Times of one step. */
export interface StepTimes {
  readonly compute: number;
  readonly comm: number;
  readonly overlap: number;
}

const NO_TIMES: StepTimes = { compute: 0, comm: 0, overlap: 0 };

/** A watch over the steps of one Reducer. */
export class StepWatch {
  last: StepTimes = NO_TIMES;
  #sum: StepTimes = NO_TIMES;
  #steps = 0;
  #begun = 0;
  #firstFired: number | null = null;
  #allReady = 0;

  begin(): void {
    this.#begun = now();
    this.#allReady = this.#begun;
    this.#firstFired = null;
  }

  ready(): void {
    this.#allReady = now();
  }

  fired(): void {
    this.#firstFired ??= now();
  }

  /** The last bucket of the step has come back. */
  end(): void {
    const [firstFired, ended] = [this.#firstFired ?? this.#allReady, now()];
    this.last = {
      compute: this.#allReady - this.#begun,
      comm: ended - firstFired,
      overlap: Math.max(0, this.#allReady - firstFired),
    };
    this.#steps++;
    this.#sum = {
      compute: this.#sum.compute + this.last.compute,
      comm: this.#sum.comm + this.last.comm,
      overlap: this.#sum.overlap + this.last.overlap,
    };
  }

  /** The last times and the averages, as the logging data names them. */
  times() {
    const steps = Math.max(1, this.#steps);
    return {
      backwardComputeTimeMs: this.last.compute,
      backwardCommTimeMs: this.last.comm,
      backwardComputeCommOverlapTimeMs: this.last.overlap,
      avgBackwardComputeTimeMs: this.#sum.compute / steps,
      avgBackwardCommTimeMs: this.#sum.comm / steps,
      avgBackwardComputeCommOverlapTimeMs: this.#sum.overlap / steps,
    };
  }
}
